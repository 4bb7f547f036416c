package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/fault"
)

// fakeRole runs until it is told to stop.
type fakeRole struct{ stopped time.Time }

func (r *fakeRole) Run(ctx context.Context) error {
	<-ctx.Done()
	r.stopped = time.Now()
	return context.Cause(ctx)
}

// A clean stop waits for the drain, no longer than its timeout, and not at all if that is pointless.
func TestDrainBeforeTheStop(t *testing.T) {
	const timeout = 10 * time.Second
	refused := fault.New(fault.InvalidArgument, "x")
	silent := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for _, tc := range []struct {
		name string
		// runs are the sessions and spans as time goes by, a second each.
		runs  [][2]int64
		stuck bool
		ask   func(context.Context) error
		asked []int64
		after time.Duration
	}{
		{"nothing runs", [][2]int64{{7, 0}}, false, nil, nil, 0},
		{"emptied after two seconds", [][2]int64{{7, 3}, {7, 1}, {7, 0}}, false, nil, []int64{7}, 2 * time.Second},
		{"never emptied", [][2]int64{{7, 3}}, false, nil, []int64{7}, timeout},
		{"nowhere to go", [][2]int64{{7, 3}}, true, nil, []int64{7}, 0},
		{"nobody leads", [][2]int64{{7, 3}}, false, silent, []int64{7}, timeout},
		{"an error that will not pass", [][2]int64{{7, 3}}, false, func(context.Context) error { return refused }, []int64{7}, 0},
		{"a new session in between", [][2]int64{{7, 3}, {0, 0}, {9, 2}, {9, 0}}, false, nil, []int64{7, 9}, 3 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var asked []int64
				var mu sync.Mutex
				role := &fakeRole{}
				d := &drainer{
					role: role, timeout: timeout, log: zap.NewNop(),
					runs: func() (int64, int64) {
						now := tc.runs[min(int(time.Since(began)/time.Second), len(tc.runs)-1)]
						return now[0], now[1]
					},
					ask: func(ctx context.Context, session int64) (bool, error) {
						mu.Lock()
						asked = append(asked, session)
						mu.Unlock()
						if tc.ask != nil {
							return false, tc.ask(ctx)
						}
						return tc.stuck, nil
					},
				}
				ctx, stop := context.WithCancel(t.Context())
				stop()
				if err := d.Run(ctx); !errors.Is(err, context.Canceled) {
					t.Errorf("%v", err)
				}
				if took := role.stopped.Sub(began); took < tc.after || took > tc.after+100*time.Millisecond || !slices.Equal(asked, tc.asked) {
					t.Errorf("stopped after %v, asked for %v", took, asked)
				}
			})
		})
	}
}

// Where something has failed there is no time to drain, and a role that ends by itself ends everything.
func TestNoDrainWhereSomethingFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &drainer{
			role: &fakeRole{}, timeout: time.Hour, log: zap.NewNop(),
			runs: func() (int64, int64) { t.Error("it was drained"); return 7, 1 },
		}
		broken := errors.New("broken")
		ctx, stop := context.WithCancelCause(t.Context())
		stop(broken)
		if err := d.Run(ctx); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		d.role = serveFunc(func(context.Context) error { return broken })
		if err := d.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}

func TestPace(t *testing.T) {
	now := time.Now()
	p := newPace(now)
	p.see(now, 100)
	if got := p.text(); got != "100 spans left" {
		t.Error(got)
	}
	for s := range 10 {
		p.see(now.Add(time.Duration(s)*time.Second), int64(100-10*s))
	}
	if got := p.text(); got != "10 spans left, 10/s, about 1s to go" {
		t.Error(got)
	}
	p.see(now.Add(11*time.Second), 10)
	if got := p.text(); got != "10 spans left, 6/s, about 2s to go" {
		t.Error(got)
	}
	late := now.Add(13 * time.Second)
	if p.see(late, 10); !p.stalled(late) || p.stalled(now.Add(11*time.Second)) {
		t.Error("not stalled after four seconds, or after two")
	}
	if got := p.text(); got != "10 spans left" {
		t.Error(got)
	}
	p.see(late, 1)
	if got := p.text(); got != "1 span left, 4/s, about 1s to go" {
		t.Error(got)
	}
	p.see(late, 0)
	if got := p.text(); got != "0 spans left, waiting until the node itself confirms that it runs nothing" {
		t.Error(got)
	}
}
