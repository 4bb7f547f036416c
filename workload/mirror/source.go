package mirror

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"

	"github.com/spanward/spanward/span"
)

const (
	// progressEvery is how often etcd is asked how far a watch is. It is also how exact lag is.
	progressEvery = 250 * time.Millisecond
	// progressPerWatch stretches that when many spans share a stream, since every answer goes to all of them.
	progressPerWatch = 500 * time.Microsecond
	progressMost     = time.Second
	// aloneBehind is from how many revisions on a watch catches up on a stream of its own: etcd answers for a stream
	// only when all its watches are up to date.
	aloneBehind = 2000
	// streamKey makes clientv3 use one stream for all watches with the same value.
	streamKey = "spanward-watch"
)

// A source is an etcd that spans of this process read from, all through one client and, unless they are far behind,
// one watch stream.
type source struct {
	c *clientv3.Client

	mu      sync.Mutex
	gen     int // of the shared stream; a silent one is left by counting up
	watches int // on the shared stream
	alone   int // streams there have been for one watch
	// soon makes the next question about progress on the shared stream come at once.
	soon chan struct{}
	// turns is held by the span that asks what keys there are.
	turns chan struct{}
}

// turn waits until no other span asks what keys there are; false if ctx ended first.
func (s *source) turn(ctx context.Context) bool {
	select {
	case s.turns <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// next ends the turn.
func (s *source) next() { <-s.turns }

// hurry asks for progress now, for somebody who waits for it.
func (s *source) hurry() {
	select {
	case s.soon <- struct{}{}:
	default:
	}
}

// head asks for the newest revision, which also shows that the source is there.
func (s *source) head(ctx context.Context, r span.Range) (rev int64, cluster uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	key, _ := bounds(r)
	resp, err := s.c.Get(ctx, key, clientv3.WithKeysOnly())
	if err != nil {
		return 0, 0, fmt.Errorf("source: %w", err)
	}
	return resp.Header.Revision, resp.Header.ClusterId, nil
}

// count is how many keys a range has at a revision.
func (s *source) count(ctx context.Context, r span.Range, rev int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	key, end := bounds(r)
	resp, err := s.c.Get(ctx, key, clientv3.WithRange(end), clientv3.WithCountOnly(), clientv3.WithRev(rev))
	if err != nil {
		return 0, fmt.Errorf("source: %w", err)
	}
	return resp.Count, nil
}

// size is how many keys of a range are mirrored, at a revision.
func (s *source) size(ctx context.Context, r span.Range, rev int64) (int64, error) {
	var keys int64
	for _, piece := range span.Subtract(r, []span.Range{prefixRange(ownPrefix)}) {
		n, err := s.count(ctx, piece, rev)
		if err != nil {
			return 0, err
		}
		keys += n
	}
	return keys, nil
}

// probe asks for the first key of a range and how many there are. Any member may answer, as it knows them.
func (s *source) probe(ctx context.Context, r span.Range) (first string, keys int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	key, end := bounds(r)
	resp, err := s.c.Get(ctx, key, clientv3.WithRange(end), clientv3.WithLimit(1), clientv3.WithKeysOnly(), clientv3.WithSerializable())
	if err != nil {
		return "", 0, fmt.Errorf("source: %w", err)
	}
	if len(resp.Kvs) > 0 {
		first = string(resp.Kvs[0].Key)
	}
	return first, resp.Count, nil
}

// A watching is one open watch.
type watching struct {
	ch     clientv3.WatchChan
	shared bool
	// leave must be called after the watch's context has ended; stalled says that the stream was silent.
	leave func(stalled bool)
}

// watch opens a watch that begins with the changes of revision from itself: etcd answers no progress for a watch that
// begins beyond its newest revision, which on a quiet source is where the next one is.
//
// Fragments are asked for only where a response was too large without them: to cut one, etcd 3.7 measures it anew for
// every event, so that a batch of 20,000 small changes takes it ten seconds.
func (s *source) watch(ctx context.Context, r span.Range, from int64, alone, fragments bool) watching {
	s.mu.Lock()
	gen, name := s.gen, "shared-"+strconv.Itoa(s.gen)
	if alone {
		s.alone++
		name = "alone-" + strconv.Itoa(s.alone)
	} else {
		s.watches++
	}
	s.mu.Unlock()
	ctx = onStream(ctx, name)
	key, end := bounds(r)
	w := watching{shared: !alone, leave: func(bool) {}}
	opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithRev(from), clientv3.WithCreatedNotify()}
	if fragments {
		opts = append(opts, clientv3.WithFragment())
	}
	w.ch = s.c.Watch(ctx, key, opts...)
	if !alone {
		w.leave = func(stalled bool) { s.left(gen, stalled) }
		return w
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.ask(ctx, nil, func() (string, time.Duration) { return name, progressEvery })
	}()
	w.leave = func(bool) { <-done }
	return w
}

func (s *source) left(gen int, stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watches--
	if stalled && gen == s.gen {
		s.gen++
	}
}

// run asks for progress on the shared stream until ctx ends.
func (s *source) run(ctx context.Context) {
	s.ask(ctx, s.soon, func() (string, time.Duration) {
		s.mu.Lock()
		defer s.mu.Unlock()
		pause := max(progressEvery, min(progressMost, time.Duration(s.watches)*progressPerWatch))
		if s.watches == 0 {
			return "", pause
		}
		return "shared-" + strconv.Itoa(s.gen), pause
	})
}

// ask asks for progress on the stream of a name, "" for none at this time, and earlier than usual if soon says so.
func (s *source) ask(ctx context.Context, soon <-chan struct{}, next func() (string, time.Duration)) {
	for {
		_, pause := next()
		if !sleepOr(ctx, pause, soon) {
			return
		}
		name, _ := next()
		if name == "" {
			continue
		}
		asking, cancel := context.WithTimeout(onStream(ctx, name), pause)
		_ = s.c.RequestProgress(asking) // a stream that cannot be asked is found silent by its watches
		cancel()
	}
}

func onStream(ctx context.Context, name string) context.Context {
	return metadata.NewOutgoingContext(ctx, metadata.Pairs(streamKey, name, rpctypes.MetadataRequireLeaderKey, rpctypes.MetadataHasLeader))
}

// sleep is false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool { return sleepOr(ctx, d, nil) }

// sleepOr also ends with a signal.
func sleepOr(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}
