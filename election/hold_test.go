package election_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spanward/spanward/election"
)

func nobody() string { return "" }

func TestHoldResignsAfterTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		ctx, stop := context.WithCancel(t.Context())
		held := make(chan error, 1)
		go func() {
			held <- election.Hold(ctx, w.seat, func() string { return "c" }, func(ctx context.Context, term int64) error {
				<-ctx.Done()
				time.Sleep(30 * time.Second) // slow to stop: the term goes on until it has
				ok, err := w.a.write(context.WithoutCancel(ctx), w.seat, 0)
				if !ok || err != nil || term != w.seat.Term() {
					t.Errorf("the last write of term %d: %v, %v", term, ok, err)
				}
				return ctx.Err()
			})
		}()
		time.Sleep(time.Second)
		stop()
		who, seat, took := w.next(t)
		if who != w.c || took < 29*time.Second || took > 31*time.Second {
			t.Errorf("%s after %v", who.name, took)
		}
		if err := <-held; !errors.Is(err, context.Canceled) {
			t.Errorf("Hold returned %v", err)
		}
		mustWrite(t, who, seat, true)
	})
}

func TestHoldEndsWithTheTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		held := make(chan error, 1)
		go func() {
			held <- election.Hold(t.Context(), w.seat, nobody, func(ctx context.Context, _ int64) error {
				<-ctx.Done()
				if cause := context.Cause(ctx); !errors.Is(cause, election.ErrTermOver) {
					t.Errorf("the cause is %v", cause)
				}
				return ctx.Err()
			})
		}()
		if _, err := w.etcd.Client().Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if err := <-held; !errors.Is(err, election.ErrTermOver) {
			t.Errorf("Hold returned %v", err)
		}
		if who, seat, _ := w.next(t); seat != nil {
			mustWrite(t, who, seat, true) // resigning a lost seat took it from nobody
		}
	})
}

func TestHoldResignsWhenTheWorkFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		broken := errors.New("broken")
		err := election.Hold(t.Context(), w.seat, func() string { return "b" }, func(context.Context, int64) error { return broken })
		if !errors.Is(err, broken) {
			t.Errorf("Hold returned %v", err)
		}
		if who, _, took := w.next(t); who != w.b || took > 100*time.Millisecond {
			t.Errorf("%s after %v", who.name, took)
		}
	})
}

func TestHoldGivesUpResigningWithoutEtcd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newTrio(t)
		w.a.process.Kill()
		from := time.Now()
		err := election.Hold(t.Context(), w.seat, nobody, func(context.Context, int64) error { return nil })
		if err == nil || time.Since(from) > 10*time.Second {
			t.Errorf("Hold returned %v after %v", err, time.Since(from))
		}
	})
}
