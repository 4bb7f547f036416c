package maintainer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// scene is a state made by hand, one record a revision, and what was heard beside it.
type scene struct {
	t     *testing.T
	l     keys.Layout
	s     *view.State
	k     *known
	now   time.Time
	write int64
}

func newScene(t *testing.T) *scene {
	l, err := keys.New("test")
	if err != nil {
		t.Fatal(err)
	}
	sc := &scene{t: t, l: l, s: view.NewState(l), k: newKnown(), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), write: 100}
	sc.put(l.Keyspace("ks"), record.EncodeKeyspace(record.Keyspace{Workload: "gate", State: record.KeyspaceRunning, CreatedBy: "1-1"}))
	return sc
}

func (sc *scene) put(key string, value []byte) int64 {
	sc.write++
	sc.s.Apply(sc.write, []view.Change{{Key: key, Value: value, Create: sc.write, Mod: sc.write}})
	return sc.write
}

// node registers one, and says whether it is connected.
func (sc *scene) node(name string, connected bool) (session int64) {
	session = sc.put(sc.l.Node(name), record.EncodeNode(record.Node{Name: name, Instance: "i", Address: name + ":1", Workloads: []string{"gate"}, TTL: time.Second}))
	sc.k.updateNode(session, func(n *nodeKnown) { n.connected, n.since = connected, sc.now.Add(-time.Minute) })
	return session
}

func (sc *scene) span(id string, r record.Span) operator.Ref {
	ref := operator.Ref{Keyspace: "ks", ID: span.ID(id)}
	sc.put(sc.l.Span("ks", ref.ID), record.EncodeSpan(r))
	return ref
}

func (sc *scene) claim(ref operator.Ref, c record.Claim) int64 {
	return sc.put(sc.l.Operator(ref.Keyspace, ref.ID), record.EncodeClaim(c))
}

func (sc *scene) stuck(ref operator.Ref, k stuckKnown) {
	k.since = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	sc.k.update(ref, func(s *spanKnown) { s.stuck = &k })
}

func (sc *scene) shown(ref operator.Ref) *controlv1.Span {
	sc.t.Helper()
	sp := sc.s.Span(ref)
	if sp == nil {
		sc.t.Fatalf("no span %v", ref)
	}
	return renderSpan(look(factsOf(sc.s, sp), sc.k, sc.now))
}

func TestSpanStates(t *testing.T) {
	const gone = 7 // a session that is over
	for _, tc := range []struct {
		name string
		make func(sc *scene, n1 int64) operator.Ref
		want string
		why  string
		err  string
	}{
		{"nobody has run it", func(sc *scene, _ int64) operator.Ref { return sc.span("s", record.Span{}) }, "absent", "nobody has run it yet", ""},
		{"waiting for a node", func(sc *scene, _ int64) operator.Ref {
			ref := sc.span("s", record.Span{})
			sc.k.update(ref, func(k *spanKnown) { k.waiting = "none of 3 nodes can take it" })
			return ref
		}, "absent", "none of 3 nodes can take it", ""},
		{"runs", func(sc *scene, n1 int64) operator.Ref {
			return sc.span("s", record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}})
		}, "running", "", ""},
		{"runs on a node that is unreachable", func(sc *scene, n1 int64) operator.Ref {
			sc.k.updateNode(n1, func(n *nodeKnown) { n.connected = false })
			return sc.span("s", record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}})
		}, "running", "n1 does not answer the leader", ""},
		{"its owner is gone", func(sc *scene, _ int64) operator.Ref {
			return sc.span("s", record.Span{Owner: record.Owner{Node: "n9", Session: gone, Token: 1}})
		}, "absent", "n9 is gone", ""},
		{"given back", func(sc *scene, _ int64) operator.Ref { return sc.span("s", record.Span{LastNode: "n4"}) }, "absent", "n4 gave it back", ""},
		{"is opened", func(sc *scene, n1 int64) operator.Ref {
			ref := sc.span("s", record.Span{})
			sc.claim(ref, record.Claim{Stage: record.StageOpening, Node: "n1", Session: n1, At: sc.now, By: record.ByFailover})
			return ref
		}, "opening", "n1 is opening it: failover", ""},
		{"is closed for a move", func(sc *scene, n1 int64) operator.Ref {
			ref := sc.span("s", record.Span{
				Owner:  record.Owner{Node: "n1", Session: n1, Token: 1},
				Intent: &record.Intent{Operator: "5-1", Kind: record.KindMove, By: record.ByUser, To: "n2"},
			})
			sc.claim(ref, record.Claim{Operator: "5-1", Kind: record.KindMove, Stage: record.StageClosing, Node: "n1", Session: n1, At: sc.now})
			return ref
		}, "closing", "n1 is closing it: move 5-1", ""},
		{"closes for ever", func(sc *scene, n1 int64) operator.Ref {
			ref := sc.span("s", record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}})
			claim := sc.claim(ref, record.Claim{Stage: record.StageClosing, Node: "n1", Session: n1, At: sc.now})
			sc.stuck(ref, stuckKnown{claim: claim, node: "n1", doing: "closing", purpose: " for move 5-1"})
			return ref
		}, "stuck", "n1 is closing it for move 5-1 since 2026-01-01T00:00:00Z, longer than that may take; it goes on when that ends, or after `spanward node evict n1`", ""},
		{"an ask is never answered", func(sc *scene, n1 int64) operator.Ref {
			ref := sc.span("s", record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}})
			sc.stuck(ref, stuckKnown{node: "n1", doing: "asked to close"})
			return ref
		}, "stuck", "n1 is asked to close it since 2026-01-01T00:00:00Z, longer than that may take; it goes on when that ends, or after `spanward node evict n1`", ""},
		{"another claim was stuck", func(sc *scene, n1 int64) operator.Ref {
			ref := sc.span("s", record.Span{})
			claim := sc.claim(ref, record.Claim{Stage: record.StageOpening, Node: "n1", Session: n1, At: sc.now})
			sc.stuck(ref, stuckKnown{claim: claim - 1, node: "n2", doing: "opening"})
			return ref
		}, "opening", "n1 is opening it: placement", ""},
		{"cannot be opened", func(sc *scene, _ int64) operator.Ref {
			ref := sc.span("s", record.Span{})
			sc.k.update(ref, func(k *spanKnown) { k.lastError, k.failures = "disk full", 2 })
			return ref
		}, "failing", "nobody has run it yet", "disk full"},
		{"runs with trouble", func(sc *scene, n1 int64) operator.Ref {
			ref := sc.span("s", record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}})
			sc.k.update(ref, func(k *spanKnown) { k.lastError, k.session = "a value does not fit", n1 })
			return ref
		}, "failing", "", "a value does not fit"},
		{"the trouble was that of an owner before", func(sc *scene, n1 int64) operator.Ref {
			ref := sc.span("s", record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}})
			sc.k.update(ref, func(k *spanKnown) { k.lastError, k.session = "old", gone })
			return ref
		}, "running", "", ""},
		{"paused", func(sc *scene, _ int64) operator.Ref {
			sc.put(sc.l.Keyspace("ks"), record.EncodeKeyspace(record.Keyspace{Workload: "gate", State: record.KeyspacePaused}))
			return sc.span("s", record.Span{LastNode: "n1"})
		}, "paused", "the keyspace is paused", ""},
	} {
		sc := newScene(t)
		got := sc.shown(tc.make(sc, sc.node("n1", true)))
		if got.GetState() != tc.want || got.GetWhy() != tc.why || got.GetLastError() != tc.err {
			t.Errorf("%s: %s, %q, %q; want %s, %q, %q", tc.name, got.GetState(), got.GetWhy(), got.GetLastError(), tc.want, tc.why, tc.err)
		}
	}
}

// Unknown is not a number, and what a session says counts only while it owns the span.
func TestPositions(t *testing.T) {
	sc := newScene(t)
	n1 := sc.node("n1", true)
	owner := record.Owner{Node: "n1", Session: n1, Token: 1}
	mine := sc.span("a", record.Span{Range: span.Range{End: "b"}, Owner: owner, Checkpoint: record.At(10)})
	stale := sc.span("b", record.Span{Range: span.Range{Start: "b", End: "c"}, Owner: owner, Checkpoint: record.At(20)})
	blank := sc.span("c", record.Span{Range: span.Range{Start: "c"}, Owner: owner})
	sc.put(sc.l.Progress("ks", 1), record.EncodeProgress(record.Progress{"b": 25}))
	report := func(ref operator.Ref, session int64, at uint64, lag int64) {
		sc.k.update(ref, func(k *spanKnown) {
			k.session, k.checkpoint, k.checkpointKnown, k.lagMS = session, at, true, proto.Int64(lag)
		})
	}
	report(mine, n1, 15, 100)
	report(stale, 7, 99, 5)
	if got := sc.shown(mine); got.GetCheckpoint() != 15 || got.GetLagMs() != 100 {
		t.Errorf("reported by the owner: %v", got)
	}
	if got := sc.shown(stale); got.GetCheckpoint() != 25 || got.LagMs != nil {
		t.Errorf("reported by another session: %v", got)
	}
	if got := sc.shown(blank); got.Checkpoint != nil || got.LagMs != nil || got.Load != nil {
		t.Errorf("never reported: %v", got)
	}
	all := func() *controlv1.Keyspace {
		return renderKeyspace(keyspaceLook{sc.s.Keyspace("ks"), lookAll(spansOf(sc.s, "ks"), sc.k, sc.now), sc.s.QuarantinedSpans("ks")})
	}
	if ks := all(); ks.Checkpoint != nil || ks.LagMs != nil || len(ks.GetRanges()) != 1 || ks.GetSpans()["running"] != 3 {
		t.Errorf("with a span that nobody knows: %v", ks)
	}
	report(stale, n1, 99, 5)
	report(blank, n1, 12, 50)
	if ks := all(); ks.GetCheckpoint() != 12 || ks.GetLagMs() != 100 {
		t.Errorf("with all spans known: %v", ks)
	}
	sc.put(sc.l.Span("ks", "d"), []byte("garbage"))
	if ks := all(); ks.Checkpoint != nil || ks.GetSpans()["quarantined"] != 1 || ks.GetSpans()["total"] != 4 {
		t.Errorf("with an unreadable span: %v", ks)
	}
}

func TestOperatorStages(t *testing.T) {
	sc := newScene(t)
	n1, n2 := sc.node("n1", true), sc.node("n2", true)
	intent := &record.Intent{
		Operator: "5-1", Kind: record.KindMove, By: record.ByUser, RequestID: "r", Spans: []string{"a"}, From: "n1", To: "n2",
		CreatedAt: sc.now, Marks: []record.Mark{{Stage: record.StageQueued, At: sc.now}},
	}
	told := func() string {
		var texts []string
		for _, o := range inFlight(sc.s) {
			var steps []string
			for _, s := range o.GetSteps() {
				steps = append(steps, s.GetStage())
			}
			texts = append(texts, fmt.Sprintf("%s %s %s %s>%s %s by %s [%s]",
				o.GetId(), o.GetType(), strings.Join(o.GetSpans(), "+"), o.GetFrom(), o.GetTo(), o.GetStage(), o.GetBy(), strings.Join(steps, " ")))
		}
		return strings.Join(texts, "; ")
	}
	expect := func(want string) {
		t.Helper()
		if got := told(); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
	owned := record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}, Intent: intent}
	ref := sc.span("a", owned)
	expect("5-1 move a n1>n2 queued by user [queued]")
	sc.claim(ref, record.Claim{Operator: "5-1", Kind: record.KindMove, Stage: record.StageClosing, Node: "n1", Session: n1, At: sc.now})
	expect("5-1 move a n1>n2 closing by user [queued closing]")
	handed := intent.Marked(record.Mark{Stage: record.StageClosing, At: sc.now}).Marked(record.Mark{Stage: record.StageHandedOff, At: sc.now})
	handed.HandedOff = true
	sc.span("a", record.Span{Intent: handed})
	sc.s.Apply(sc.write+1, []view.Change{{Key: sc.l.Operator("ks", "a"), Deleted: true}})
	sc.write++
	expect("5-1 move a n1>n2 handed_off by user [queued closing handed_off]")
	sc.claim(ref, record.Claim{Operator: "5-1", Kind: record.KindMove, Stage: record.StageOpening, Node: "n2", Session: n2, At: sc.now})
	expect("5-1 move a n1>n2 opening by user [queued closing handed_off opening]")

	lost := sc.span("b", record.Span{Range: span.Range{Start: "b"}, Owner: record.Owner{Node: "n9", Session: 7, Token: 1}})
	at := sc.claim(lost, record.Claim{Stage: record.StageOpening, Node: "n2", Session: n2, At: sc.now.Add(time.Second), By: record.ByFailover})
	expect("5-1 move a n1>n2 opening by user [queued closing handed_off opening];  add b n9>n2 opening by failover [opening]")
	placed := inFlight(sc.s)[1]
	if placed.GetReason() != "n9 is gone" {
		t.Errorf("placed because %q", placed.GetReason())
	}
	sp := sc.s.Span(lost)
	if o := renderPlaced(placed.Operator, at, sp, sc.now); o.GetOutcome() != "failed" {
		t.Errorf("an opening that has led to nothing: %v", o)
	}
	won := *sp
	won.Owner = record.Owner{Node: "n2", Session: n2, Token: operator.Token(3, at)}
	if o := renderPlaced(placed.Operator, at, &won, sc.now); o.GetOutcome() != "done" || o.GetFinishedAt() == nil {
		t.Errorf("an opening that has led to an owner: %v", o)
	}
}

func TestNodeStates(t *testing.T) {
	sc := newScene(t)
	sc.node("ready", true)
	sc.node("cordoned", true)
	draining := sc.node("draining", true)
	drained := sc.node("drained", true)
	asked := sc.node("asked", true)
	sc.node("unreachable", false)
	config := func(name string, c record.NodeConfig) { sc.put(sc.l.NodeConfig(name), record.EncodeNodeConfig(c)) }
	config("cordoned", record.NodeConfig{Cordoned: true})
	config("draining", record.NodeConfig{Draining: true})
	config("drained", record.NodeConfig{Draining: true})
	config("asked", record.NodeConfig{Draining: true})
	sc.node("back", true)
	config("back", record.NodeConfig{Draining: true, DrainSession: asked})
	sc.k.updateNode(drained, func(n *nodeKnown) { n.idle = true })
	config("left", record.NodeConfig{Weight: 2})
	sc.span("a", record.Span{Range: span.Range{End: "b"}, Owner: record.Owner{Node: "draining", Session: draining, Token: 1}})
	sc.span("b", record.Span{Range: span.Range{Start: "b", End: "c"}, Owner: record.Owner{Node: "lost", Session: 7, Token: 1}})
	sc.span("c", record.Span{Range: span.Range{Start: "c", End: "d"}, Owner: record.Owner{Node: "lost", Session: 7, Token: 2}})
	sc.k.updateNode(draining, func(n *nodeKnown) { n.mayActUntil = 13 * time.Hour })
	var got []string
	for _, f := range nodesOf(sc.s) {
		n := renderNode(f, sc.k.node(f.session()), 13*time.Hour-3*time.Second)
		got = append(got, fmt.Sprintf("%s %s %d", n.GetName(), n.GetState(), n.GetSpans()))
		if (n.GetName() == "draining") != (n.MayActUntilMs != nil) {
			t.Errorf("%s may act until %v", n.GetName(), n.MayActUntilMs)
		}
		if n.MayActUntilMs != nil && n.GetMayActUntilMs() != 3000 {
			t.Errorf("may act for another %d ms", n.GetMayActUntilMs())
		}
		late := renderNode(f, sc.k.node(f.session()), 14*time.Hour)
		if late.MayActUntilMs != nil && late.GetMayActUntilMs() != 0 {
			t.Errorf("an hour later: may act for another %d ms", late.GetMayActUntilMs())
		}
	}
	want := []string{
		"asked draining 0", "back ready 0", "cordoned cordoned 0", "drained drained 0", "draining draining 1", "left gone 0", "lost gone 2", "ready ready 0", "unreachable unreachable 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q\nwant %q", got, want)
	}
}

func TestProblemsAreToldOnce(t *testing.T) {
	sc := newScene(t)
	n1 := sc.node("n1", false)
	sc.put(sc.l.Span("ks", "x"), []byte("garbage"))
	sc.put(sc.l.Root()+"who/knows", []byte("y"))
	ref := sc.span("a", record.Span{Owner: record.Owner{Node: "n1", Session: n1, Token: 1}})
	sc.k.update(ref, func(k *spanKnown) { k.lastError, k.session = "disk full", n1 })
	sc.k.complain(problem{kind: "failing", keyspace: "ks", span: "a", node: "n1", message: "disk full"})
	sc.k.complain(problem{kind: "unreachable", node: "n1", message: "no stream"})
	for i := range 150 {
		at := span.Range{Start: fmt.Sprintf("k%03d", i), End: fmt.Sprintf("k%03d0", i)}
		sc.span(fmt.Sprintf("s%03d", i), record.Span{Range: at})
	}
	sc.put(sc.l.Keyspace("slow"), record.EncodeKeyspace(record.Keyspace{
		Workload: "gate", State: record.KeyspaceCreating, CreatedBy: "1-2", CreatedAt: sc.now.Add(-time.Hour), ExpectedSpans: 500,
	}))
	status := renderStatus(statusOf(sc.s), sc.k, sc.now)
	counts := map[string]int{}
	for _, p := range status.GetProblems() {
		counts[p.GetKind()]++
		if p.GetMessage() == "" {
			t.Errorf("a problem without a word: %v", p)
		}
	}
	want := map[string]int{"quarantined": 2, "failing": 1, "unreachable": 1, "unplaced": 1, "creating": 1}
	if fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", counts, want)
	}
	if s := status.GetSpans(); s["total"] != 152 || s["absent"] != 150 || s["failing"] != 1 || s["quarantined"] != 1 {
		t.Errorf("spans %v", s)
	}
	if status.GetLeader() != "" || status.GetTerm() != 0 {
		t.Errorf("nobody leads, but %s at %d", status.GetLeader(), status.GetTerm())
	}
}

func TestSuccessorsAreFollowedToTheLiving(t *testing.T) {
	sc := newScene(t)
	made := func(op string, kind record.Kind, from []string, into ...string) {
		sc.put(sc.l.History("ks", op), record.EncodeHistory(record.History{
			Intent:  record.Intent{Operator: op, Kind: kind, By: record.ByUser, Spans: from, Results: into},
			Outcome: record.OutcomeDone, FinishedAt: sc.now,
		}))
	}
	made("1-1", record.KindSplit, []string{"old"}, "left", "right")
	made("1-2", record.KindMerge, []string{"left", "other"}, "merged")
	made("1-3", record.KindRemove, []string{"right"})
	sc.span("merged", record.Span{})
	for id, want := range map[string]string{
		"old": "replaced by merged", "left": "replaced by merged", "right": "removed by operator 1-3", "never": "does not exist",
	} {
		_, err := spanNamed(sc.s, "ks", id)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", id, err, want)
		}
	}
}

func BenchmarkStatusOfManySpans(b *testing.B) {
	l, err := keys.New("test")
	if err != nil {
		b.Fatal(err)
	}
	s, k := view.NewState(l), newKnown()
	s.Apply(1, []view.Change{{Key: l.Keyspace("ks"), Value: record.EncodeKeyspace(record.Keyspace{Workload: "gate", State: record.KeyspaceRunning}), Create: 1, Mod: 1}})
	for i := range 100_000 {
		r := record.Span{Range: span.Range{Start: fmt.Sprintf("%06d", i), End: fmt.Sprintf("%06d", i+1)}}
		rev := int64(i + 2)
		s.Apply(rev, []view.Change{{Key: l.Span("ks", span.ID(fmt.Sprintf("1-1.%d", i))), Value: record.EncodeSpan(r), Create: rev, Mod: rev}})
	}
	for b.Loop() {
		renderStatus(statusOf(s), k, time.Now())
	}
}

// The state may be ahead of the dirty set that a watch looks at it for. What ended in between is told once all the same.
func TestAWatchMissesNothingThatOvertakes(t *testing.T) {
	sc := newScene(t)
	w := watching{told: map[flightKey]flight{}}
	look := func(d *view.Dirty) (ids []string) {
		news, err := w.look(sc.s, d, sc.now)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range news {
			ids = append(ids, o.GetId())
		}
		return ids
	}
	look(nil)
	spans := &view.Dirty{Revision: sc.write}
	sc.put(sc.l.History("ks", "5-1"), record.EncodeHistory(record.History{
		Intent: record.Intent{Operator: "5-1", Kind: record.KindAdd, By: record.ByUser}, Outcome: record.OutcomeDone, FinishedAt: sc.now,
	}))
	got := look(spans) // about a change before
	late := &view.Dirty{Revision: sc.write, History: map[string]bool{"ks": true}}
	for range 2 {
		got = append(got, look(late)...)
	}
	if !slices.Equal(got, []string{"5-1"}) {
		t.Errorf("told %q, want 5-1 once", got)
	}
}
