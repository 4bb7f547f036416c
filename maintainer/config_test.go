package maintainer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
)

// set changes settings through a maintainer.
func (w *world) set(at, request, keyspace string, pairs ...string) error {
	w.t.Helper()
	q := &controlv1.SetConfigRequest{RequestId: request, Keyspace: keyspace, Set: map[string]string{}}
	for _, p := range pairs {
		k, v, _ := strings.Cut(p, "=")
		q.Set[k] = v
	}
	_, err := w.invoke(at, q)
	return err
}

func (w *world) mustSet(at, keyspace string, pairs ...string) {
	w.t.Helper()
	if err := w.set(at, "", keyspace, pairs...); err != nil {
		w.t.Fatal(err)
	}
}

// setting is the value that counts and where it comes from.
func (w *world) setting(at, keyspace, key string) string {
	w.t.Helper()
	resp, err := w.invoke(at, &controlv1.GetConfigRequest{Keyspace: keyspace})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range resp.(*controlv1.GetConfigResponse).GetConfig().GetValues() {
		if v.GetKey() == key {
			return strings.TrimSuffix(fmt.Sprintf("%s %s %s", v.GetValue(), v.GetOrigin(), v.GetProblem()), " ")
		}
	}
	return "none"
}

func (w *world) expect(at, keyspace, key, want string) {
	w.t.Helper()
	if got := w.setting(at, keyspace, key); got != want {
		w.t.Errorf("%s of %q at %s: %s, want %s", key, keyspace, at, got, want)
	}
}

// What nobody can mean is refused, whoever is asked, and nothing of it is done.
func TestBadSettingsChangeNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1")
		w.maintainer("m2")
		w.eventually("m2 is there", 5*time.Second, func() string {
			if len(w.get(w.layout.Maintainer("m2")).Kvs) == 0 {
				return "it is not"
			}
			return ""
		})
		w.mustSet("m1", "", "settle=2s")
		before := w.everything()
		for _, tt := range []struct {
			keyspace string
			pairs    []string
			reason   fault.Reason
			says     string
		}{
			{"", nil, fault.InvalidArgument, "set: is missing"},
			{"", []string{"open-timout=5m"}, fault.InvalidArgument, "did you mean open-timeout"},
			{"", []string{"open-timout="}, fault.InvalidArgument, "did you mean open-timeout"},
			{"", []string{"settle=3s", "in-flight=0"}, fault.InvalidArgument, `in-flight "0": is not a count from 1 to 100000`},
			{"", []string{"settle=3s", "warp=9"}, fault.InvalidArgument, "is not a setting"},
			{"", []string{"settle=1h"}, fault.InvalidArgument, "is not a duration from 1ms to 1m"},
			{"", []string{"ask-retry=31s"}, fault.InvalidArgument, "is more than ask-retry.max"},
			{"", []string{"ask-retry.max=1s"}, fault.InvalidArgument, "is more than ask-retry.max, which is 1s"},
			{"", []string{"place.spread=zone"}, fault.InvalidArgument, "set it with --keyspace"},
			{"ks", []string{"settle=3s"}, fault.InvalidArgument, "belongs to the whole cluster"},
			{"ks", []string{"open-timeout=5m", "close-timeout=0"}, fault.InvalidArgument, "is not a duration from 1ms to 24h"},
			{"ks", []string{"a=c"}, fault.InvalidArgument, "is not a setting"},
			{"ks", []string{"place.require=zone"}, fault.InvalidArgument, "no label=value"},
			{"ks", []string{"place.require=zone=a"}, fault.UnknownLabel, "no registered node has label zone"},
			{"nobody", []string{"open-timeout=5m"}, fault.UnknownKeyspace, "does not exist"},
			{"Not A Name", []string{"open-timeout=5m"}, fault.InvalidName, "does not match"},
		} {
			for _, at := range []string{"m1", "m2"} {
				err := w.set(at, "", tt.keyspace, tt.pairs...)
				if !fault.Is(err, tt.reason) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%v of %q: %v, want %s: …%s…", tt.pairs, tt.keyspace, err, tt.reason, tt.says)
				}
			}
		}
		if err := w.set("m1", strings.Repeat("x", 200), "", "settle=3s"); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("a request id without end: %v", err)
		}
		for key, mod := range w.everything() {
			if before[key] != mod {
				t.Errorf("%s was written", key)
			}
		}
		if _, err := w.invoke("m1", &controlv1.GetConfigRequest{Keyspace: "nobody"}); !fault.Is(err, fault.UnknownKeyspace) {
			t.Errorf("settings of nobody: %v", err)
		}
	})
}

// What is stored is the same whoever leads; flags are those of the one that does.
func TestSettingsOutliveTheirLeader(t *testing.T) {
	inWorld(t, func(w *world) {
		m1 := w.maintainer("m1", func(c *Config) { c.OpenTimeout, c.CloseTimeout = 2*time.Minute, 2*time.Minute })
		w.leads(m1, 5*time.Second)
		m2 := w.maintainer("m2", func(c *Config) { c.OpenTimeout, c.CloseTimeout = 3*time.Minute, 3*time.Minute })
		w.node("n1")
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m1) })
		w.keyspace("ks", 1)
		w.mustSet("m2", "", "close-timeout=90s", "settle=2s", "history-age=1h")
		w.mustSet("m2", "", "history-age=")
		w.mustSet("m2", "ks", "close-timeout=45s")
		shows := func(at, flag string) {
			t.Helper()
			for key, want := range map[string]string{
				"open-timeout": flag, "close-timeout": "1m30s cluster", "settle": "2s cluster", "history-age": "168h default",
				"in-flight": "512 default", "place.spread": "none",
			} {
				w.expect(at, "", key, want)
			}
			for key, want := range map[string]string{"open-timeout": flag, "close-timeout": "45s keyspace", "place.spread": " default", "settle": "none"} {
				w.expect(at, "ks", key, want)
			}
		}
		shows("m1", "2m flag")
		shows("m2", "2m flag") // it asks the leader
		m1.kill(true)
		w.leads(m2, time.Minute)
		shows("m2", "3m flag")
		if got := onLoop(w, m2, func(l *loop) time.Duration { return l.baseLimit("ks", false) }); got != 45*time.Second {
			t.Errorf("the new leader closes within %v", got)
		}
		if got := onLoop(w, m2, func(l *loop) time.Duration { return l.tuned.Settle }); got != 2*time.Second {
			t.Errorf("the new leader settles in %v", got)
		}
		w.mustSet("m2", "ks", "close-timeout=")
		w.expect("m2", "ks", "close-timeout", "1m30s cluster")
	})
}

// onLoop looks at what only the loop of the term may look at, a moment from now.
func onLoop[T any](w *world, p *proc, look func(*loop) T) T {
	w.t.Helper()
	time.Sleep(100 * time.Millisecond)
	got := make(chan T, 1)
	_, l := p.leading()
	if l == nil || !l.post(func() { got <- look(l) }) {
		w.t.Fatal(p.name + " does not lead")
	}
	return <-got
}

// A command that is repeated does not undo what was set after it, nor does its successor at another leader.
func TestARepeatedSetIsDoneOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m1, _ := w.settled(1, "n1")
		m2 := w.maintainer("m2")
		for _, ks := range []string{"", "ks"} {
			for n, v := range []string{"2m", "3m"} {
				if err := w.set("m1", fmt.Sprint("r", n, ks), ks, "open-timeout="+v); err != nil {
					t.Fatal(err)
				}
			}
		}
		again := func(at string) {
			t.Helper()
			for ks, origin := range map[string]string{"": "cluster", "ks": "keyspace"} {
				if err := w.set(at, "r0"+ks, ks, "open-timeout=2m"); err != nil {
					t.Errorf("again at %s: %v", at, err)
				}
				if err := w.set(at, "r0"+ks, ks, "open-timeout=4m"); !fault.Is(err, fault.RequestConflict) {
					t.Errorf("another body at %s: %v", at, err)
				}
				w.expect(at, ks, "open-timeout", "3m "+origin)
			}
		}
		again("m1")
		m1.quit()
		w.leads(m2, 10*time.Second)
		again("m2")
	})
}

// A deadline that is changed counts for what is under way.
func TestADeadlineChangedOnlineTakesEffect(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		n := w.node("n1")
		n.answers(func(a *sessionv1.Ask) sessionv1.StageResult_Result {
			if a.GetAction() == sessionv1.Ask_ACTION_OPEN {
				return n.claimOnly(a)
			}
			return sessionv1.StageResult_RESULT_CLAIMED
		})
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		r := w.keyspace("ks", 1)[0]
		w.claimed(r)
		began := time.Now()
		time.Sleep(2 * time.Second)
		w.mustSet("m1", "", "open-timeout=5s")
		w.eventually("given up", time.Minute, func() string {
			if s := w.shown(r); s.GetState() != stateFailing {
				return s.String()
			}
			return ""
		})
		if took := time.Since(began); took < 4500*time.Millisecond || took > 5500*time.Millisecond {
			t.Errorf("given up after %v; it was allowed a minute, and then 5 s", took)
		}
		// Longer, too: it is tried again, and now it may take its time.
		w.mustSet("m1", "ks", "open-timeout=40s")
		w.claimed(r)
		began = time.Now()
		w.eventually("given up again", 2*time.Minute, func() string {
			if m.Stats().Late < 2 {
				return "not yet"
			}
			return ""
		})
		if took := time.Since(began); took < 39*time.Second || took > 42*time.Second {
			t.Errorf("given up after %v; the keyspace allows 40 s", took)
		}
	})
}

// What waits longer than anybody would have to now waits no longer.
func TestPausesEndWhenTheyAreShortened(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.OpenRetry, c.MaxOpenRetry = 50*time.Minute, 50*time.Minute })
		w.leads(m, 5*time.Second)
		n := w.node("n1")
		n.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_OPEN_FAILED })
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		w.keyspace("ks", 1)
		time.Sleep(5 * time.Second)
		n.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_CLAIMED })
		time.Sleep(10 * time.Minute)
		if w.owners("ks")["n1"] != 0 {
			t.Fatal("it was not put off")
		}
		w.mustSet("m1", "", "open-retry=1s", "open-retry.max=2s")
		w.owned("ks", 1, 3*time.Second)
	})
}

// Room that is made is used, and checkpoints are stored as often as they shall be.
func TestBudgetsAndIntervalsChangeOnline(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) { c.InFlight, c.ProgressEvery = 1, 30*time.Minute })
		w.leads(m, 5*time.Second)
		n := w.node("n1")
		n.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
		w.eventually("all registered", 5*time.Second, func() string { return w.unregistered(m) })
		refs := w.keyspace("ks", 30)
		asked := func() int { return onLoop(w, m, func(l *loop) int { return len(l.asked[n.session]) }) }
		time.Sleep(2 * time.Second)
		if got := asked(); got != 1 {
			t.Fatalf("%d asks in flight", got)
		}
		w.mustSet("m1", "", "in-flight=20")
		if got := asked(); got != 20 {
			t.Errorf("%d asks in flight, of 20", got)
		}
		n.answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_CLAIMED })
		w.owned("ks", 30, time.Minute)
		n.checkpoint(refs[0], 7)
		time.Sleep(time.Minute)
		if len(w.stored("ks")) != 0 {
			t.Fatal("stored long before it was time")
		}
		w.mustSet("m1", "", "progress-interval=1s")
		time.Sleep(2 * time.Second)
		if got := w.stored("ks")[refs[0].ID]; got != 7 {
			t.Errorf("stored: %d", got)
		}
	})
}

// A new leader that waits for a node to connect waits no longer than it shall.
func TestTheSettleTimeChangesOnline(t *testing.T) {
	inWorld(t, func(w *world) {
		w.node("n1")
		w.node("n2", func(n *node) { n.mute = true })
		w.keyspace("ks", 4)
		m := w.maintainer("m1", func(c *Config) { c.Settle = time.Minute })
		w.leads(m, 5*time.Second)
		time.Sleep(20 * time.Second)
		if w.owners("ks")["n1"] != 0 {
			t.Fatal("it has not waited for n2")
		}
		w.mustSet("m1", "", "settle=30s")
		if took := w.owned("ks", 4, 15*time.Second); took < 9*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// Somebody whose nodes share two hosts wants a smaller burst to count, and a longer hold.
func TestTheMassLossHoldIsConfigurable(t *testing.T) {
	for name, tt := range map[string]struct {
		set  []string
		held bool
	}{
		"by default three count":          {nil, false},
		"two of five count":               {[]string{"mass-loss.least=2", "mass-loss.share=0.3"}, true},
		"a share alone does not count":    {[]string{"mass-loss.share=0.3"}, false},
		"two of five are not enough":      {[]string{"mass-loss.least=2", "mass-loss.share=0.4"}, false},
		"a window of less than they take": {[]string{"mass-loss.least=2", "mass-loss.share=0.3", "mass-loss.window=200ms"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				m, _ := w.settled(20, "n1", "n2", "n3", "n4", "n5")
				w.mustSet("m1", "", append(tt.set, "mass-loss.hold=5m")...)
				w.nodes[0].kill()
				time.Sleep(nodeTTL / 3) // one more renewal
				w.nodes[1].kill()
				problem := ""
				w.eventually("both are gone", time.Minute, func() string {
					if len(m.state().Nodes()) != 3 {
						return "not yet"
					}
					return ""
				})
				time.Sleep(time.Minute)
				resp, err := w.invoke("m1", &controlv1.GetStatusRequest{})
				if err != nil {
					t.Fatal(err)
				}
				for _, p := range resp.(*controlv1.GetStatusResponse).GetProblems() {
					if p.GetKind() == "mass_loss" {
						problem = p.GetMessage()
					}
				}
				alive := 0
				for n, c := range w.owners("ks") {
					if n != "n1" && n != "n2" {
						alive += c
					}
				}
				if held := strings.Contains(problem, "2 nodes vanished at once (n1, n2)"); held != tt.held || held != (alive != 20) {
					t.Fatalf("held: %t, %d of 20 run elsewhere; %q", held, alive, problem)
				}
				if !tt.held {
					return
				}
				w.mustSet("m1", "", "mass-loss.hold=1s") // enough of it
				w.owned("ks", 20, 10*time.Second)
			})
		})
	}
}

// The record is no trap: what this version cannot use has no effect, is told, and can be taken away; and one that cannot be
// read at all counts as absent, and is not overwritten.
func TestStoredNonsenseHasNoEffect(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1")
		w.put(w.layout.Config(), record.EncodeConfig(record.Config{Settings: map[string]string{"warp": "9", "settle": "soon", "in-flight": "7"}}))
		time.Sleep(time.Second)
		w.expect("m1", "", "in-flight", "7 cluster")
		w.expect("m1", "", "settle", "500ms default the stored value soon is not a duration from 1ms to 1m")
		w.expect("m1", "", "warp", "9 cluster is unknown to this version")
		problems := func() (out []string) {
			resp, err := w.invoke("m1", &controlv1.GetStatusRequest{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range resp.(*controlv1.GetStatusResponse).GetProblems() {
				out = append(out, p.GetKind()+": "+p.GetMessage())
			}
			return out
		}
		if got := problems(); len(got) != 2 || !strings.Contains(fmt.Sprint(got), "config: warp=9 has no effect: is unknown") {
			t.Errorf("%q", got)
		}
		w.mustSet("m1", "", "warp=", "settle=1s")
		time.Sleep(time.Second)
		if got := problems(); len(got) != 0 {
			t.Errorf("%q", got)
		}
		w.expect("m1", "", "warp", "none")
		w.put(w.layout.Config(), []byte("settle=1s"))
		time.Sleep(time.Second)
		w.expect("m1", "", "settle", "500ms default")
		if err := w.set("m1", "", "", "settle=2s"); !fault.Is(err, fault.Refused) || !strings.Contains(err.Error(), w.layout.Config()) {
			t.Errorf("overwritten: %v", err)
		}
		if got := problems(); len(got) != 1 || !strings.HasPrefix(got[0], "quarantined: ") {
			t.Errorf("%q", got)
		}
	})
}

// Settings of a keyspace are one thing, whichever command has set them.
func TestConfigAndKeyspaceSetAgree(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(1, "n1")
		w.mustSet("m1", "ks", "open-timeout=5m", "place.spread=node")
		w.expect("m1", "ks", "open-timeout", "5m keyspace")
		resp, err := w.invoke("m1", &controlv1.ListKeyspacesRequest{Name: "ks"})
		if err != nil {
			t.Fatal(err)
		}
		if set := resp.(*controlv1.ListKeyspacesResponse).GetKeyspaces()[0].GetSet(); set["open-timeout"] != "5m" || set["a"] != "b" || set["place.spread"] != "node" {
			t.Errorf("%v", set)
		}
		if _, err := w.invoke("m1", &controlv1.SetKeyspaceRequest{Name: "ks", Set: map[string]string{"close-timeout": "7m"}}); err != nil {
			t.Fatal(err)
		}
		w.expect("m1", "ks", "close-timeout", "7m keyspace")
		w.mustSet("m1", "ks", "close-timeout=", "open-timeout=", "place.spread=")
		w.expect("m1", "ks", "close-timeout", "1m default")
		w.expect("m1", "ks", "place.spread", " default")
		reasons := 0
		for h := range w.histories(m) {
			if strings.HasPrefix(h.GetReason(), "set ") {
				reasons++
			}
		}
		if reasons != 3 {
			t.Errorf("%d changes in the history", reasons)
		}
		if got := onLoop(w, m, func(l *loop) time.Duration { return l.baseLimit("ks", true) }); got != time.Minute {
			t.Errorf("opens within %v", got)
		}
	})
}

// Between the plan and the write somebody repairs the record by hand: his value stays, and so does what was asked for.
func TestASetIsPlannedAnewWhenTheRecordMoves(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(1, "n1")
		w.mustSet("m1", "", "settle=1s")
		moved := false
		m.at(func(name string) error {
			if name == "maintainer/config/accept/before" && !moved {
				moved = true
				w.put(w.layout.Config(), record.EncodeConfig(record.Config{Settings: map[string]string{"in-flight": "7"}}))
			}
			return nil
		})
		w.mustSet("m1", "", "drain.in-flight=9")
		for key, want := range map[string]string{"in-flight": "7 cluster", "drain.in-flight": "9 cluster", "settle": "500ms default"} {
			w.expect("m1", "", key, want)
		}
	})
}
