package election

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// Observe tells who leads, first as it is now and then with every change, "nobody" included ([Holder.Leads]). Changes
// that follow each other closely may be told as the last of them. It calls tell from this goroutine and returns when ctx
// ends, or when etcd denies access.
func Observe(ctx context.Context, client *clientv3.Client, key string, log *zap.Logger, tell func(Holder)) error {
	f := newFollower(client, key, log)
	defer f.close()
	if err := f.reread(ctx); err != nil {
		return err
	}
	for {
		tell(f.cur)
		if _, err := f.wait(ctx, forever); err != nil {
			return err
		}
	}
}

// String says it to a person.
func (h Holder) String() string {
	switch {
	case h.Term == 0:
		return "the leader key is gone"
	case h.Problem != nil:
		return fmt.Sprintf("the leader key cannot be read: %v", h.Problem)
	case h.Resigned:
		return h.Maintainer + " has resigned"
	case !h.Leads():
		return "the leader key has no lease"
	}
	return fmt.Sprintf("%s leads in term %d", h.Maintainer, h.Term)
}
