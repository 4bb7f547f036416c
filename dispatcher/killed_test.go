package dispatcher_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/failpoint"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

var errKilled = errors.New("kill -9")

// death kills a process at a failpoint.
type death struct {
	mu sync.Mutex
	at string // "" nowhere, "any" at the next hit
	// when is the moment of death.
	when time.Time
	// after is what the process asked of etcd afterwards. What another goroutine was just about to send at that very
	// moment does not count, as with a real death, but for the end of the session, which begins with a mark.
	after []string
}

func newDeath() *death { return &death{} }

func (d *death) config(c *dispatcher.Config) {
	c.Failpoints = failpoint.NewHook(func(_ context.Context, name string) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.when.IsZero() {
			return errKilled
		}
		if d.at == name || d.at == "any" {
			d.when = time.Now()
			return errKilled
		}
		return nil
	})
}

func (d *death) set(at string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = at
}

// watch notes what the process writes once it is dead.
func (d *death) watch(p *process) {
	p.etcd.Inject(func(c etcdtest.Call) etcdtest.Fault {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.when.IsZero() && (c.Method == "LeaseRevoke" || time.Now().After(d.when)) {
			d.after = append(d.after, c.Method)
		}
		return etcdtest.Fault{}
	})
}

// now kills the process at its next message to the leader.
func (d *death) now(t *testing.T, w *world, p *process) {
	t.Helper()
	d.set("any")
	<-p.done
	if !errors.Is(p.err, errKilled) {
		t.Fatalf("Run returned %v", p.err)
	}
	w.eventually("nothing runs", func() bool { return p.sink.running() == 0 })
}

// story takes a node through every step there is.
func (w *world) story(p *process) {
	alive := func(what string, ok func() bool) {
		w.eventually(what, func() bool {
			select {
			case <-p.done:
				return true
			default:
				return ok()
			}
		})
	}
	alive("reported", func() bool { return w.leader.node("n1").fulls > 0 })
	ask := func(id span.ID, action sessionv1.Ask_Action) {
		select {
		case <-p.done:
		default:
			w.leader.ask("n1", action, w.record(id))
		}
	}
	p.sink.set(func() { p.sink.exact = true })
	w.tile("cut", "gathered", "m", "n")
	for _, id := range []span.ID{"moved", "removed", "kept", "kept2"} {
		w.span(id)
	}
	for _, id := range []span.ID{"moved", "removed", "kept", "kept2", "cut", "gathered", "m", "n"} {
		ask(id, sessionv1.Ask_ACTION_OPEN)
		alive("opened", func() bool { return w.record(id).Owner.Node == "n1" })
	}
	p.sink.set(func() { p.sink.openErr["broken"] = errors.New("no") })
	w.span("broken")
	ask("broken", sessionv1.Ask_ACTION_OPEN)
	alive("given up", func() bool { return w.leader.lastResult("n1", "broken").GetResult() == openFailed })
	w.accept("moved", record.KindMove, "n2")
	w.accept("removed", record.KindRemove, "")
	ask("moved", sessionv1.Ask_ACTION_CLOSE)
	ask("removed", sessionv1.Ask_ACTION_CLOSE)
	alive("ended", func() bool { return w.record("moved").Owner.Nobody() && w.record("removed").Mod == 0 })
	together := func(action sessionv1.Ask_Action, spans ...operator.Span) {
		select {
		case <-p.done:
		default:
			ask := w.askTogether(action, spans...)
			ask.Cause = record.EncodeCause(record.Cause{By: record.ByUser})
			w.sendAsk("n1", ask)
		}
	}
	cut := w.acceptSplit("cut", 2)
	together(sessionv1.Ask_ACTION_CLOSE, cut)
	alive("split", func() bool { return w.record("cut").Mod == 0 })
	gathered := w.acceptAll(mergeOf("9-g", "gathered", "elsewhere"), "gathered")
	together(sessionv1.Ask_ACTION_CLOSE, gathered...)
	alive("handed off", func() bool { return w.record("gathered").Owner.Nobody() })
	merged := w.acceptAll(mergeOf("9-m", "m", "n"), "m", "n")
	together(sessionv1.Ask_ACTION_CLOSE, merged...)
	alive("merged", func() bool { return w.record("m").Mod == 0 })
	release := p.sink.hold(p.sink.holdClose, "kept2")
	w.accept("kept2", record.KindMove, "n2")
	ask("kept2", sessionv1.Ask_ACTION_CLOSE)
	alive("closing", func() bool { return slices.Contains(p.sink.trace("kept2"), "close") })
	together(sessionv1.Ask_ACTION_CANCEL, w.record("kept2"))
	alive("cancelled", func() bool { return w.record("kept2").Intent == nil })
	release()
	p.stop()
	<-p.done
}

// A process that is killed at any transaction or message returns at once, and writes nothing more.
func TestKilledAtEveryFailpoint(t *testing.T) {
	for _, name := range failpoint.Names() {
		if !strings.HasPrefix(name, "dispatcher/") {
			continue
		}
		t.Run(strings.TrimPrefix(name, "dispatcher/"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				dies := newDeath()
				dies.set(name)
				p := w.start("n1", dies.config)
				dies.watch(p)
				w.story(p)
				if !errors.Is(p.err, errKilled) {
					t.Errorf("Run returned %v", p.err)
				}
				if len(dies.after) > 0 {
					t.Errorf("asked of etcd after its death: %v", dies.after)
				}
				if n := p.sink.running(); n != 0 {
					t.Errorf("%d instances run", n)
				}
			})
		})
	}
}
