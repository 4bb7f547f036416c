package dispatcher_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/record"
)

func inDir(dir string) func(*dispatcher.Config) {
	return func(c *dispatcher.Config) { c.DataDir = dir }
}

// The second process under a name waits for the first one's end, and says so once.
func TestSecondProcessWaitsForTheName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.ready("n1", inDir(t.TempDir()))
		w.span("a")
		w.open("n1", "a")
		first := w.session("n1")
		b := w.start("n1", inDir(t.TempDir()))
		time.Sleep(time.Minute)
		if w.session("n1") != first || a.sink.running() != 1 {
			t.Fatalf("session %d became %d", first, w.session("n1"))
		}
		if n := b.said("node name is taken, waiting"); n != 1 {
			t.Errorf("said %d times that it waits", n)
		}
		a.stop()
		<-a.done
		w.eventually("the second registers", func() bool { return w.leader.node("n1").session > first })
		w.leader.ask("n1", sessionv1.Ask_ACTION_OPEN, w.record("a"))
		w.eventually("it opens", func() bool { return b.sink.running() == 1 })
	})
}

// After a crash a restart waits for the old session to expire — unless it can prove that the old process is dead.
func TestRestartAfterACrash(t *testing.T) {
	for name, tt := range map[string]struct {
		dirs func(t *testing.T) (first, second string)
		fast bool
	}{
		"same data directory":  {func(t *testing.T) (string, string) { d := t.TempDir(); return d, d }, true},
		"other data directory": {func(t *testing.T) (string, string) { return t.TempDir(), t.TempDir() }, false},
		"no data directory":    {func(*testing.T) (string, string) { return "", "" }, false},
		"proof of another cluster": {func(t *testing.T) (string, string) {
			d := t.TempDir()
			return d, rewritten(t, d, "cluster", "other")
		}, false},
		"proof of another name": {func(t *testing.T) (string, string) {
			d := t.TempDir()
			return d, rewritten(t, d, "name", "n2")
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				dir, again := tt.dirs(t)
				dies := newDeath()
				a := w.ready("n1", inDir(dir), dies.config)
				w.span("a")
				w.open("n1", "a")
				old := w.session("n1")
				dies.now(t, w, a)
				start := time.Now()
				if again != dir && again != "" {
					copyProof(t, dir, again)
				}
				b := w.start("n1", inDir(again))
				w.eventually("registered", func() bool { return w.session("n1") > old })
				took := time.Since(start)
				if tt.fast && took > 500*time.Millisecond || !tt.fast && took < 3*time.Second {
					t.Errorf("took %v", took)
				}
				nodes := w.nodeRecords("n1", old)
				if dead := nodes[len(nodes)-1].Ended == record.EndedDead; dead != tt.fast {
					t.Errorf("the old record: %+v", nodes[len(nodes)-1])
				}
				if n := b.said("node name is taken, waiting"); tt.fast != (n == 0) {
					t.Errorf("said %d times that it waits", n)
				}
			})
		})
	}
}

// rewritten is a directory whose proof will differ from that of dir in one field.
func rewritten(t *testing.T, _, field, value string) string {
	again := t.TempDir()
	b, err := json.Marshal(map[string]string{field: value})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(again, "change"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return again
}

// copyProof copies the proof with the change that rewritten has asked for; without one it copies nothing.
func copyProof(t *testing.T, from, to string) {
	change, err := os.ReadFile(filepath.Join(to, "change"))
	if os.IsNotExist(err) {
		return
	}
	proof, err2 := os.ReadFile(filepath.Join(from, "node.json"))
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	var m map[string]any
	for _, b := range [][]byte{proof, change} {
		if err := json.Unmarshal(b, &m); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "node.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Two processes with one data directory: the lock decides, whatever the names are.
func TestLockedDataDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dir := t.TempDir()
		a := w.ready("n1", inDir(dir))
		b := w.start("n2", inDir(dir))
		time.Sleep(time.Minute)
		if w.session("n2") != 0 {
			t.Error("registered beside a live process")
		}
		if n := b.said("data directory is locked by a live process, waiting"); n != 1 {
			t.Errorf("said %d times that it waits", n)
		}
		a.stop()
		<-a.done
		w.eventually("registered", func() bool { return w.session("n2") != 0 })
	})
}

// A process that is told to stop while it waits stops.
func TestStopWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dir := t.TempDir()
		w.ready("n1", inDir(dir))
		for _, p := range []*process{w.start("n1"), w.start("n2", inDir(dir))} {
			time.Sleep(time.Second)
			p.stop()
			<-p.done
			if p.err != nil {
				t.Error(p.err)
			}
		}
	})
}
