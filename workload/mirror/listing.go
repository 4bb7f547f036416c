package mirror

import (
	"context"
	"fmt"
	"iter"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/span"
)

// Pages are sized by what they turn out to weigh: etcd counts the rest of the range for each one, so small pages of
// large ranges are slow, and large pages of large values are heavy.
const (
	firstPage = 1000
	minPage   = 16
	maxPage   = 20000
	pageBytes = 4 << 20
)

// A listing reads a range of an etcd, sorted, in pages.
type listing struct {
	kv clientv3.KV
	// rev is the revision to read at; 0 reads every page as it then is.
	rev int64
	// name gives the key under which an item takes part in a comparison, and false to leave it out.
	name func(key string) (string, bool)
}

// items lists r. The next page is fetched while one is consumed. The sequence ends with an error, or at the end.
func (l listing) items(ctx context.Context, r span.Range) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		pages := make(chan page) // unbuffered: one page is consumed, one waits
		done := make(chan struct{})
		go func() {
			defer close(done)
			l.fetch(ctx, r, pages)
		}()
		defer func() {
			cancel()
			<-done
		}()
		for p := range pages {
			if p.err != nil {
				yield(item{}, p.err)
				return
			}
			for _, kv := range p.kvs {
				if it, ok := l.item(kv); ok && !yield(it, nil) {
					return
				}
			}
		}
	}
}

func (l listing) item(kv *mvccpb.KeyValue) (item, bool) {
	source := string(kv.Key)
	name, ok := l.name(source)
	return item{key: name, value: kv.Value, lease: kv.Lease, source: source, rev: kv.ModRevision}, ok
}

type page struct {
	kvs []*mvccpb.KeyValue
	err error
}

// fetch sends pages until the range ends, an error or the end of ctx.
func (l listing) fetch(ctx context.Context, r span.Range, out chan<- page) {
	defer close(out)
	limit := int64(firstPage)
	for {
		resp, err := l.page(ctx, r, limit)
		p := page{err: err}
		if err == nil {
			p.kvs = resp.Kvs
		}
		select {
		case out <- p:
		case <-ctx.Done():
			return
		}
		if err != nil || !resp.More || len(resp.Kvs) == 0 {
			return
		}
		r.Start = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
		limit = nextLimit(resp.Kvs)
	}
}

func (l listing) page(ctx context.Context, r span.Range, limit int64) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	key, end := bounds(r)
	resp, err := l.kv.Get(ctx, key, clientv3.WithRange(end), clientv3.WithLimit(limit), clientv3.WithRev(l.rev))
	if err != nil {
		return nil, fmt.Errorf("list: %w", err)
	}
	return resp, nil
}

// nextLimit aims at pageBytes from what the last page weighed.
func nextLimit(kvs []*mvccpb.KeyValue) int64 {
	size := 1
	for _, kv := range kvs {
		size += len(kv.Key) + len(kv.Value) + opBytes
	}
	return int64(max(minPage, min(maxPage, pageBytes*len(kvs)/size)))
}

// bounds spells a range for etcd, which has no empty key and marks "no upper bound" with a zero byte.
func bounds(r span.Range) (key, end string) {
	key, end = r.Start, r.End
	if key == "" {
		key = "\x00"
	}
	if end == "" {
		end = "\x00"
	}
	return key, end
}
