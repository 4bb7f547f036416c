package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// sight is one key as it is at a revision; kv is nil if it is not there.
type sight struct {
	kv       *mvccpb.KeyValue
	revision int64
}

// watchKey shows see a key as it is and then each change, until see returns false or ctx ends. After any error it
// reads the key again, so that nothing is missed; see may be shown the same twice.
func watchKey(ctx context.Context, c *clientv3.Client, log *zap.Logger, key string, see func(sight) bool) {
	wait, said := retryPause, false
	for ctx.Err() == nil {
		done, err := watchOnce(ctx, c, key, func(s sight) bool {
			wait, said = retryPause, false
			return see(s)
		})
		if done {
			return
		}
		if !said && ctx.Err() == nil {
			log.Warn("watch broke; the key is read again", zap.String("key", key), zap.Error(err))
			said = true
		}
		_ = pause(ctx, wait)
		wait = min(2*wait, maxRetryPause)
	}
}

var errWatchEnded = errors.New("the watch ended")

func watchOnce(ctx context.Context, c *clientv3.Client, key string, see func(sight) bool) (done bool, err error) {
	now, err := readKey(ctx, c, key)
	if err != nil {
		return false, err
	}
	if !see(now) {
		return true, nil
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	for r := range c.Watch(ctx, key, clientv3.WithRev(now.revision+1)) {
		if err := r.Err(); err != nil {
			return false, fmt.Errorf("watch %s: %w", key, err)
		}
		for _, ev := range r.Events {
			s := sight{revision: ev.Kv.ModRevision}
			if ev.Type == clientv3.EventTypePut {
				s.kv = ev.Kv
			}
			if !see(s) {
				return true, nil
			}
		}
	}
	return false, errWatchEnded
}

// readKey reads one key, linearizably.
func readKey(ctx context.Context, c *clientv3.Client, key string) (sight, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := c.Get(ctx, key)
	if err != nil {
		return sight{}, fmt.Errorf("get %s: %w", key, err)
	}
	s := sight{revision: r.Header.Revision}
	if len(r.Kvs) > 0 {
		s.kv = r.Kvs[0]
	}
	return s, nil
}

// retry calls do until it succeeds or ctx ends, saying so once for each row of failures.
func retry(ctx context.Context, log *zap.Logger, what string, do func(context.Context) error) error {
	wait, failing := retryPause, time.Time{}
	for {
		err := do(ctx)
		if err == nil {
			if !failing.IsZero() {
				log.Info(what+": works again", zap.Duration("after", time.Since(failing)))
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if failing.IsZero() {
			failing = time.Now()
			log.Warn(what+": failed, trying again", zap.Error(err))
		}
		_ = pause(ctx, wait/2+jitter(wait))
		wait = min(2*wait, maxRetryPause)
	}
}
