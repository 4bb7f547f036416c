package mirror

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 5 * time.Second
	// unfitRetry is the pause before a change that the destination refuses is tried again.
	unfitRetry = 15 * time.Second
	// idleStore is how often the position of a span without changes is stored, so that its source may be compacted
	// without a new listing after a crash. It is the only write of an idle span.
	idleStore = 4 * time.Minute
)

// An instance mirrors one span. One goroutine does all its work; Close and Abort take over what that leaves behind.
type instance struct {
	r    span.Range // of source keys, as the span has it
	m    mapping
	log  *zap.Logger
	rep  dispatcher.Reporter
	src  *source
	sink sink
	*meter
	cluster uint64 // of the source
	leases  *leaseCopier
	free    func() // returns the clients to the pool

	stop    context.CancelFunc // ends reading: the write under way is still answered
	abort   context.CancelFunc // ends everything
	done    chan struct{}      // closed when the goroutine has ended
	brake   *brake             // how far to go
	gone    atomic.Bool        // a lease ended too early: compare again
	over    sync.Once          // guards the closing of aborted
	aborted chan struct{}      // closed by Abort

	// ending is held by whoever does what the goroutine has left behind.
	ending        sync.Mutex
	freed, closed bool

	// Of the goroutine, and after done of whoever has ending.
	pos    int64 // everything up to it is durable; 0 before the first follow
	dirty  bool  // a write is unanswered
	fenced bool
	stored time.Time
	looked time.Time // when the source's head was asked for
	// fragments says that a response of the watch was too large in one piece.
	fragments bool
}

// start runs the instance until it is stopped.
func (in *instance) start(parent context.Context) {
	hard, abort := context.WithCancel(parent)
	soft, stop := context.WithCancel(hard)
	in.abort, in.stop, in.done, in.stored = abort, stop, make(chan struct{}), time.Now()
	in.aborted = make(chan struct{})
	parts := in.sink.state().effective()
	in.brake = newBrake(parts, len(holes(parts, in.r)) > 0)
	var helpers sync.WaitGroup
	helpers.Go(func() { in.meter.run(soft) })
	helpers.Go(func() { in.inspect(soft) })
	helpers.Go(func() {
		if in.leases.on() {
			in.leases.run(soft, func() { in.gone.Store(true) })
		}
	})
	go func() {
		defer close(in.done)
		in.run(soft, hard)
		stop()
		helpers.Wait()
	}()
}

// errEnd ends the work at a position that was asked for.
var errEnd = errors.New("position reached")

// run works until it is stopped, reaches its limit or is fenced.
func (in *instance) run(ctx, hard context.Context) {
	pauses := &backoff.ExponentialBackOff{
		InitialInterval: retryFirst, MaxInterval: retryMost,
		Multiplier: backoff.DefaultMultiplier, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	pauses.Reset()
	for ctx.Err() == nil {
		before := in.pos
		err := in.session(ctx, hard)
		switch {
		case ctx.Err() != nil || errors.Is(err, errEnd):
			return
		case errors.Is(err, errFenced):
			in.fenced = true
			in.rep.Fail(fault.New(fault.Refused, "%v", err).Because(err))
			return
		case errors.Is(err, errBehind) || errors.Is(err, errRejoin):
			continue
		case errors.Is(err, errProgress):
			in.log.Error("progress was announced too early", zap.Int64("revision", in.pos), zap.Error(err))
			in.pos = 0 // what is stored is right
			continue
		case isCompacted(err):
			in.log.Info("source compacted; comparing again", zap.Int64("revision", in.pos))
		default:
			in.log.Warn("mirroring interrupted", zap.Int64("revision", in.pos), zap.Error(err))
			in.trouble(err)
		}
		if in.pos > before {
			pauses.Reset()
		}
		pause := pauses.NextBackOff()
		if fault.Is(err, fault.Failed) {
			pause = unfitRetry
		}
		sleep(ctx, pause)
	}
}

// session settles what the one before left open, fills holes, and follows the source until something goes wrong.
func (in *instance) session(ctx, hard context.Context) error {
	if in.dirty {
		if err := in.settle(hard); err != nil {
			return err
		}
	}
	in.looked = time.Now()
	head, cluster, err := in.src.head(ctx, in.r)
	if err != nil {
		return err
	}
	if cluster != in.cluster {
		return otherSource("the source was etcd cluster %x and is %x now", in.cluster, cluster)
	}
	if at := max(in.pos, highest(in.sink.state().effective())); at > head {
		return otherSource("the destination is at revision %d and the source only at %d: it was restored from a backup", at, head)
	}
	if head, err = in.fillAll(ctx, head); err != nil {
		return err
	}
	err = in.follow(ctx, hard, head)
	if isCompacted(err) {
		return errors.Join(err, in.forget(hard))
	}
	return err
}

// fillAll copies what has no position. It gives the source's newest revision as last seen.
func (in *instance) fillAll(ctx context.Context, head int64) (int64, error) {
	missing := holes(in.sink.state().Parts, in.r)
	if len(missing) > 0 && !in.brake.copy() {
		return 0, errEnd // whoever waits for a position learns that this one never gets there
	}
	if len(missing) > 0 {
		in.filling(missing[0] == in.r)
	}
	for _, h := range missing {
		var err error
		in.looked = time.Now()
		if head, err = in.fill(ctx, h); err != nil {
			return 0, err
		}
	}
	in.brake.whole(highest(in.sink.state().effective()))
	return head, nil
}

func (in *instance) settle(ctx context.Context) error {
	if err := in.sink.settle(ctx); err != nil {
		return err
	}
	in.dirty = false
	in.missed() // what was unanswered may have been done
	return nil
}

// write runs a write of the sink and remembers whether it was answered.
func (in *instance) write(f func() error) error {
	in.dirty = true
	err := f()
	in.dirty = err != nil && !errors.Is(err, errFenced)
	return err
}

// fill copies a hole at the source's newest revision, which it returns.
func (in *instance) fill(ctx context.Context, h span.Range) (int64, error) {
	head, _, err := in.src.head(ctx, in.r)
	if err != nil {
		return 0, err
	}
	leased := in.sink.state().Leased
	if in.leases.on() {
		// Before the first key that hangs on a lease is written, it must be known that it may vanish.
		if err := in.store(ctx, in.sink.state().Parts, true); err != nil {
			return 0, err
		}
		leased = len(in.sink.state().Parts) > 0 && leased
	}
	if clipped, ok := in.m.clip(h); ok {
		found, err := in.copy(ctx, clipped, head)
		if err != nil {
			return 0, err
		}
		leased = leased || found
	}
	in.log.Info("copied", zap.Stringer("range", h), zap.Int64("revision", head))
	return head, in.store(ctx, with(in.sink.state().effective(), h, head), leased)
}

// copy brings a range to what the source has at a revision, and tells whether any key hangs on a lease.
func (in *instance) copy(ctx context.Context, r span.Range, rev int64) (leased bool, err error) {
	total, err := in.src.count(ctx, r, rev)
	if err != nil {
		return false, err
	}
	var copied int64
	report := func() { n, t := copied, total; in.copying(&n, &t) }
	report()
	last := time.Now()
	src := listing{kv: in.src.c, rev: rev, name: in.m.key}
	err = in.write(func() error {
		return in.sink.copy(ctx, r, src, func(it item) {
			copied++
			in.copied(it.source)
			leased = leased || it.lease != 0
			if copied%copyReport == 0 && time.Since(last) > reportEvery/4 {
				report()
				last = time.Now()
			}
		})
	})
	if err != nil {
		return leased, err
	}
	report()
	in.copying(nil, nil)
	return leased, nil
}

// copyReport is after how many keys the clock is looked at.
const copyReport = 256

func (in *instance) store(ctx context.Context, parts []part, leased bool) error {
	if leased == in.sink.state().Leased && len(parts) == len(in.sink.state().Parts) && equalParts(parts, in.sink.state().Parts) {
		return nil
	}
	return in.write(func() error { return in.sink.store(ctx, parts, leased) })
}

// forget gives up the parts that the source has compacted beyond: they become holes. Not knowing the compacted
// revision, it takes those that are behind the others, or all.
func (in *instance) forget(ctx context.Context) error {
	var kept []part
	eff := in.sink.state().effective()
	for _, p := range eff {
		if max(p.Rev, in.pos) > max(lowest(eff), in.pos) {
			kept = append(kept, p)
		}
	}
	in.pos = 0
	return in.store(ctx, kept, in.sink.state().Leased)
}

func equalParts(a, b []part) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}
