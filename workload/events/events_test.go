package events_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/workload/events"
)

// fake is a workload whose behaviour a test decides; log takes what happens in its order.
type fake struct {
	log      *bytes.Buffer
	openErr  error
	closeErr error
	reporter dispatcher.Reporter
}

func (f *fake) Open(_ context.Context, _ dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	fmt.Fprintln(f.log, "Open returns")
	f.reporter = r
	if f.openErr != nil {
		return nil, f.openErr
	}
	return (*inst)(f), nil
}

type inst fake

func (i *inst) Close(context.Context) (dispatcher.Position, error) {
	if i.closeErr != nil {
		return dispatcher.Position{}, i.closeErr
	}
	fmt.Fprintln(i.log, "Close returns")
	return record.At(99), nil
}

func (i *inst) Abort() { fmt.Fprintln(i.log, "Abort returns") }

// at is a workload whose instances can close at a position.
type at struct{ *fake }

func (a at) Open(ctx context.Context, t dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	_, err := a.fake.Open(ctx, t, r)
	return (*instAt)(a.fake), err
}

type instAt fake

func (i *instAt) Close(ctx context.Context) (dispatcher.Position, error) {
	return (*inst)(i).Close(ctx)
}
func (i *instAt) Abort() { (*inst)(i).Abort() }

func (i *instAt) Hold(context.Context) (dispatcher.Position, error) { return record.At(41), nil }
func (i *instAt) CloseAt(_ context.Context, p dispatcher.Position) (dispatcher.Position, error) {
	return p, nil
}

var _ dispatcher.Observer = (*events.Recorder)(nil)

type nobody struct{}

func (nobody) Report(dispatcher.Status) {}
func (nobody) Fail(error)               {}

var task = dispatcher.Task{
	Cluster: "c", Keyspace: "ks", Span: "7-1.0", Range: span.Range{Start: "a:\\<", End: "b\xff"}, Node: "n1", Token: 1<<48 | 12,
	From: record.At(5),
}

// ticks is a clock that never shows the same moment twice.
func ticks(from int64) leases.Clock {
	var now atomic.Int64
	now.Store(from)
	return func() time.Duration { return time.Duration(now.Add(1)) }
}

type rig struct {
	out *bytes.Buffer
	rec *events.Recorder
}

func newRig(t *testing.T) *rig {
	t.Helper()
	rec, err := events.New(events.Config{Clock: ticks(1000)})
	if err != nil {
		t.Fatal(err)
	}
	rec.Renewed(5000)
	return &rig{out: &bytes.Buffer{}, rec: rec}
}

// story replaces the lines by what differs between them.
func story(t *testing.T, out string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			b.WriteString(line)
			continue
		}
		var l events.Line
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		at := "null"
		if l.Checkpoint != nil {
			at = fmt.Sprint(*l.Checkpoint)
		}
		fmt.Fprintf(&b, "%d %s checkpoint=%s until=%d\n", l.BoottimeNS, l.Event, at, l.MayActUntilBoottimeNS)
	}
	return b.String()
}

func TestLineIsTheContract(t *testing.T) {
	r := newRig(t)
	unknown := task
	unknown.From = record.Position{}
	if _, err := r.rec.Wrap(&fake{log: &bytes.Buffer{}}, r.out).Open(t.Context(), unknown, nobody{}); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(r.out.String(), "\n")
	want := fmt.Sprintf(`{"boottime_ns":1001,"node":"n1","pid":%d,"event":"open_start","keyspace":"ks","span":"7-1.0",`+
		`"start":"a\\x3a\\\\<","end":"b\\xff","token":281474976710668,"checkpoint":null,"may_act_until_boottime_ns":5000}`, os.Getpid())
	if diff := cmp.Diff(want, first); diff != "" {
		t.Error(diff)
	}
}

func TestOrderAroundTheWork(t *testing.T) {
	r := newRig(t)
	f := &fake{log: r.out, closeErr: errors.New("later")}
	i, err := r.rec.Wrap(f, r.out).Open(t.Context(), task, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	r.rec.Renewed(5000)
	f.reporter.Report(dispatcher.Status{Checkpoint: record.At(7)})
	r.rec.Renewed(6000)
	if _, err := i.Close(t.Context()); err == nil {
		t.Fatal("the error of Close is lost")
	}
	r.rec.Renewed(6000) // it still runs
	f.closeErr = nil
	if at, err := i.Close(t.Context()); err != nil || at != record.At(99) {
		t.Fatal(at, err)
	}
	r.rec.Renewed(7000) // over: no line
	r.rec.Fenced()
	i.Abort() // a second end: no line
	want := `1001 open_start checkpoint=5 until=5000
Open returns
1002 opened checkpoint=5 until=5000
1003 renewed checkpoint=5 until=5000
1004 renewed checkpoint=7 until=6000
1005 close_start checkpoint=7 until=6000
1006 renewed checkpoint=7 until=6000
1007 close_start checkpoint=7 until=6000
Close returns
1008 closed checkpoint=99 until=1008
Abort returns
`
	if diff := cmp.Diff(want, story(t, r.out.String())); diff != "" {
		t.Error(diff)
	}
}

func TestAbortAndFailedOpenEndAtOnce(t *testing.T) {
	r := newRig(t)
	w := r.rec.Wrap(&fake{log: r.out, openErr: errors.New("no")}, r.out)
	if _, err := w.Open(t.Context(), task, nobody{}); err == nil {
		t.Fatal("the error of Open is lost")
	}
	i, err := r.rec.Wrap(&fake{log: r.out}, r.out).Open(t.Context(), task, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	r.rec.Fenced()
	i.Abort()
	// Nothing acts after an abort, so no later moment may be declared.
	want := `1001 open_start checkpoint=5 until=5000
Open returns
1002 aborted checkpoint=5 until=1002
1003 open_start checkpoint=5 until=5000
Open returns
1004 opened checkpoint=5 until=5000
1005 fenced checkpoint=5 until=1005
Abort returns
1006 aborted checkpoint=5 until=1006
`
	if diff := cmp.Diff(want, story(t, r.out.String())); diff != "" {
		t.Error(diff)
	}
}

func TestClosingAtAPositionIsNotHidden(t *testing.T) {
	r := newRig(t)
	plain, _ := r.rec.Wrap(&fake{log: r.out}, r.out).Open(t.Context(), task, nobody{})
	if _, ok := plain.(dispatcher.CloserAt); ok {
		t.Error("wrapping invents CloseAt")
	}
	i, err := r.rec.Wrap(at{&fake{log: &bytes.Buffer{}}}, r.out).Open(t.Context(), task, nobody{})
	if err != nil {
		t.Fatal(err)
	}
	r.out.Reset()
	c, ok := i.(dispatcher.CloserAt)
	if !ok {
		t.Fatal("wrapping hides CloseAt")
	}
	if p, err := c.Hold(t.Context()); err != nil || p != record.At(41) {
		t.Fatal(p, err)
	}
	if p, err := c.CloseAt(t.Context(), record.At(42)); err != nil || p != record.At(42) {
		t.Fatal(p, err)
	}
	if got := story(t, r.out.String()); !strings.Contains(got, "closed checkpoint=42") {
		t.Error(got)
	}
}

// Several processes append to one file; no line may be torn, whoever writes meanwhile.
func TestFileIsShared(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events.log")
	rec, err := events.New(events.Config{Clock: ticks(0)})
	if err != nil {
		t.Fatal(err)
	}
	const writers, spans = 4, 50
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			f, err := events.OpenFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			w := rec.Wrap(&fake{log: &bytes.Buffer{}}, f)
			for s := range spans {
				own := task
				own.Span = span.ID(fmt.Sprintf("%d-%d", n, s))
				i, err := w.Open(t.Context(), own, nobody{})
				if err != nil {
					t.Error(err)
					return
				}
				i.Abort()
			}
		})
	}
	wg.Wait()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(story(t, string(raw)), "\n"); n != writers*spans*3 {
		t.Errorf("%d lines, want %d", n, writers*spans*3)
	}
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := events.New(events.Config{}); err == nil {
		t.Error("a recorder without clocks")
	}
}
