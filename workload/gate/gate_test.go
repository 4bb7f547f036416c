package gate_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/workload/gate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait for something that should come at once.
const patience = 10 * time.Second

type rig struct {
	t   *testing.T
	dir string
	g   *gate.Gate
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "gate")
	g, err := gate.New(gate.Config{Dir: dir, StatusPoll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &rig{t: t, dir: dir, g: g}
}

// put replaces a file at once, as a careful script would.
func (r *rig) put(name, text string) {
	r.t.Helper()
	tmp := filepath.Join(r.t.TempDir(), name)
	if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o644), os.Rename(tmp, filepath.Join(r.dir, name))); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) drop(name string) {
	r.t.Helper()
	if err := os.Remove(filepath.Join(r.dir, name)); err != nil {
		r.t.Fatal(err)
	}
}

// reports keeps all that an instance says.
type reports struct{ ch chan dispatcher.Status }

func (r reports) Report(s dispatcher.Status) { r.ch <- s }
func (r reports) Fail(error)                 {}

// until waits for a report that pleases.
func (r reports) until(t *testing.T, what string, ok func(dispatcher.Status) bool) {
	t.Helper()
	late := time.After(patience)
	for {
		select {
		case s := <-r.ch:
			if ok(s) {
				return
			}
		case <-late:
			t.Fatalf("no report with %s", what)
		}
	}
}

type opening struct {
	inst dispatcher.Instance
	err  error
	reports
}

func (r *rig) open(ctx context.Context, id span.ID) <-chan opening {
	done := make(chan opening, 1)
	rep := reports{make(chan dispatcher.Status, 1000)}
	go func() {
		inst, err := r.g.Open(ctx, dispatcher.Task{Span: id, From: record.At(5)}, rep)
		done <- opening{inst, err, rep}
	}()
	return done
}

func (r *rig) opened(id span.ID) opening {
	r.t.Helper()
	o := wait(r.t, r.open(r.t.Context(), id))
	if o.err != nil {
		r.t.Fatal(o.err)
	}
	r.t.Cleanup(o.inst.Abort)
	return o
}

func wait[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
	}
	return *new(T)
}

// still says that nothing comes for a few polls; a gate that lets go too early shows sooner or later.
func still[T any](t *testing.T, ch <-chan T) {
	t.Helper()
	select {
	case v := <-ch:
		t.Fatalf("not held: %v", v)
	case <-time.After(60 * time.Millisecond):
	}
}

func TestHoldOpen(t *testing.T) {
	r := newRig(t)
	r.put("hold-open", "")
	r.put("hold-open.b", " \n")
	a, b := r.open(t.Context(), "a"), r.open(t.Context(), "b")
	still(t, a)
	r.drop("hold-open")
	began := time.Now()
	if o := wait(t, a); o.err != nil {
		t.Fatal(o.err)
	} else {
		defer o.inst.Abort()
	}
	if took := time.Since(began); took > 10*time.Second { // far from the 20 ms that are meant, for slow machines
		t.Errorf("let go %v after the file went", took)
	}
	still(t, b)
	r.drop("hold-open.b")
	if o := wait(t, b); o.err != nil {
		t.Fatal(o.err)
	} else {
		defer o.inst.Abort()
	}
}

func TestTextFailsWhatWaitsAndWhatComes(t *testing.T) {
	r := newRig(t)
	r.put("hold-open.a", "")
	held := r.open(t.Context(), "a")
	still(t, held)
	r.put("hold-open.a", "disk on fire\n")
	if o := wait(t, held); o.err == nil || o.err.Error() != "disk on fire" {
		t.Errorf("got %v", o.err)
	}
	if o := wait(t, r.open(t.Context(), "a")); o.err == nil {
		t.Error("opened although the file says that it fails")
	}
	if o := wait(t, r.open(t.Context(), "ab")); o.err != nil {
		t.Errorf("a file for another span counts: %v", o.err)
	} else {
		o.inst.Abort()
	}
}

func TestGivingUpEndsTheWait(t *testing.T) {
	r := newRig(t)
	r.put("hold-open", "")
	ctx, cancel := context.WithCancel(t.Context())
	held := r.open(ctx, "a")
	cancel()
	if o := wait(t, held); !errors.Is(o.err, context.Canceled) {
		t.Errorf("got %v", o.err)
	}
}

func TestHoldCloseAndFinalPosition(t *testing.T) {
	r := newRig(t)
	o := r.opened("a")
	r.put("hold-close.a", "busy")
	if _, err := o.inst.Close(t.Context()); err == nil || err.Error() != "busy" {
		t.Fatalf("got %v", err)
	}
	r.put("hold-close.a", "")
	closed := make(chan dispatcher.Position, 1)
	go func() {
		at, err := o.inst.Close(context.WithoutCancel(t.Context()))
		if err != nil {
			t.Error(err)
		}
		closed <- at
	}()
	still(t, closed)
	r.put("checkpoint", "41")
	r.drop("hold-close.a")
	if at := wait(t, closed); at != record.At(41) {
		t.Errorf("closed at %v, want the position of that moment", at)
	}
}

func TestAbortTakesNoGateIntoAccount(t *testing.T) {
	r := newRig(t)
	o := r.opened("a")
	r.put("hold-close", "")
	o.inst.Abort()
	r.put("checkpoint", "77")
	select {
	case s := <-drained(o.reports):
		t.Errorf("reports %v after the abort", s)
	case <-time.After(60 * time.Millisecond):
	}
}

// drained drops the report of the opening itself.
func drained(r reports) <-chan dispatcher.Status {
	for len(r.ch) > 0 {
		<-r.ch
	}
	return r.ch
}

func TestReports(t *testing.T) {
	r := newRig(t)
	o := r.opened("a")
	at := func(n uint64) func(dispatcher.Status) bool {
		return func(s dispatcher.Status) bool { return s.Checkpoint == record.At(n) && s.Error == "" }
	}
	o.until(t, "the position that it was opened with", at(5))
	r.put("checkpoint", "10")
	o.until(t, "the position of all", at(10))
	r.put("checkpoint.a", "20")
	o.until(t, "its own position", at(20))
	r.put("checkpoint.a", "twenty")
	o.until(t, "an error and the former position", func(s dispatcher.Status) bool {
		return s.Error != "" && s.Checkpoint == record.At(20)
	})
	r.drop("checkpoint.a")
	o.until(t, "the position of all again", at(10))
	r.drop("checkpoint")
	o.until(t, "the position that it was opened with", at(5))
	r.put("load.a", "2.5\n")
	o.until(t, "the load", func(s dispatcher.Status) bool { return s.Load != nil && *s.Load == 2.5 })
	r.put("size", "7")
	o.until(t, "the size of all", func(s dispatcher.Status) bool { return s.Size != nil && *s.Size == 7 && *s.Load == 2.5 })
	r.put("size.a", "1e3\n")
	o.until(t, "its own size", func(s dispatcher.Status) bool { return s.Size != nil && *s.Size == 1000 })
	for _, bad := range []string{"NaN", "-1", "Inf", "many"} {
		r.put("size.a", bad)
		o.until(t, "an error and no size", func(s dispatcher.Status) bool { return s.Size == nil && strings.HasPrefix(s.Error, "gate file size: ") })
		r.put("size.a", "1")
		o.until(t, "the size again", func(s dispatcher.Status) bool { return s.Size != nil && *s.Size == 1 && s.Error == "" })
	}
	r.put("split-keys", "z") // not for all spans
	r.put("split-keys.a", "k 1\nl\\xff\n")
	o.until(t, "split keys", func(s dispatcher.Status) bool { return cmp.Equal(s.SplitKeys, []string{"k 1", "l\xff"}) })
	select {
	case s := <-drained(o.reports):
		t.Errorf("reports %v although nothing has changed", s)
	case <-time.After(60 * time.Millisecond):
	}
}

// Ten thousand spans in one process must not need ten thousand looks at the directory.
func TestManySpans(t *testing.T) {
	r := newRig(t)
	r.put("hold-open", "")
	const spans = 10_000
	var wg sync.WaitGroup
	insts := make([]dispatcher.Instance, spans)
	for n := range spans {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			o := <-r.open(ctx, span.ID(fmt.Sprintf("s-%d", n)))
			if o.err != nil {
				t.Error(o.err)
				return
			}
			insts[n] = o.inst
		})
	}
	began := time.Now()
	r.drop("hold-open")
	wg.Wait()
	if took := time.Since(began); took > patience {
		t.Errorf("%v", took)
	}
	for _, i := range insts {
		if i == nil {
			t.Fatal("a span did not open")
		}
		i.Abort()
	}
}

func TestWithoutADirectoryNothingIsHeld(t *testing.T) {
	g, err := gate.New(gate.Config{})
	if err != nil {
		t.Fatal(err)
	}
	rep := reports{make(chan dispatcher.Status, 10)}
	i, err := g.Open(t.Context(), dispatcher.Task{Span: "a", From: record.At(5)}, rep)
	if err != nil {
		t.Fatal(err)
	}
	rep.until(t, "the position that it was opened with", func(s dispatcher.Status) bool { return s.Checkpoint == record.At(5) })
	if at, err := i.Close(t.Context()); err != nil || at != record.At(5) {
		t.Error(at, err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gate.New(gate.Config{Dir: file}); err == nil {
		t.Error("a gate in a file")
	}
}
