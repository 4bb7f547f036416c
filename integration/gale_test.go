package integration_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spanward/spanward/integration/proc"
)

const (
	// callers ask side by side, each with a pause after every answer.
	callers   = 4
	callPause = 50 * time.Millisecond
	// mostSpans and fewSpans of a keyspace keep splits and merges in balance.
	mostSpans = 24
	fewSpans  = 6
	pausedFor = 500 * time.Millisecond
	gateHeld  = 400 * time.Millisecond
	// repeatSome requests are repeated when all is over.
	repeatSome = 12
)

// ground is a keyspace that commands concern.
type ground struct {
	name string
	// loose: spans are removed and added, too, and it is paused. In the others nothing but an operator or a death leaves a
	// key without an owner.
	loose bool
	// start and end are all that it may cover.
	start, end string
}

// gale asks for random operators until it ends, and remembers what was asked and answered.
type gale struct {
	c *proc.Cluster
	// names are all keys, for splits.
	names   []string
	grounds []ground

	n     atomic.Int64
	mu    sync.Mutex
	asked []*request
	errs  []error
}

// blow starts the callers; wait returns when all of them have ended, after ctx.
func (g *gale) blow(ctx context.Context) (wait func()) {
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() { g.call(ctx, rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))) })
	}
	wg.Go(func() { g.gates(ctx) })
	return wg.Wait
}

// gates holds the openings and the closings of gate spans again and again, so that there is always something in the
// middle of it that can be cancelled, superseded, or lose who acts for it.
func (g *gale) gates(ctx context.Context) {
	for ctx.Err() == nil {
		for _, f := range []string{"hold-open", "hold-close"} {
			g.c.Hold(f)
			select {
			case <-ctx.Done():
			case <-time.After(gateHeld):
			}
			g.c.Release(f)
		}
	}
}

func (g *gale) call(ctx context.Context, r *rand.Rand) {
	for ctx.Err() == nil {
		g.one(r)
		select {
		case <-ctx.Done():
		case <-time.After(callPause):
		}
	}
}

// do settles a command, whatever the answer.
func (g *gale) do(kind, command string) *request {
	q := ask(fmt.Sprint("storm-", g.n.Add(1)), kind, command)
	err := q.settle(g.c)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, q)
	if err != nil {
		g.errs = append(g.errs, err)
	}
	return q
}

// one is a random command or two that belong together.
func (g *gale) one(r *rand.Rand) {
	in := g.grounds[r.IntN(len(g.grounds))]
	ks := in.name
	var list proc.Spans
	if !g.c.TryGet(&list, "span", "list", ks) {
		return
	}
	s := sorted(list.Spans)
	switch n := r.IntN(100); {
	case n < 2:
		g.do("evict", fmt.Sprint("node evict d", 1+r.IntN(3)))
	case n < 60 || !in.loose:
		g.early(r, in, g.reshape(r, ks, s))
	case n < 64:
		if g.do("pause", "keyspace pause "+ks); r.IntN(2) == 0 {
			<-time.After(pausedFor)
		}
		g.do("resume", "keyspace resume "+ks)
	case n < 80 && len(s) > 1:
		g.do("remove", "span remove "+ks+" "+s[r.IntN(len(s))].ID)
	default:
		g.fill(in, s)
	}
}

// early ends some operators early.
func (g *gale) early(r *rand.Rand, in ground, q *request) {
	if q == nil || !q.accepted {
		return
	}
	switch n := r.IntN(10); {
	case n < 3:
		g.do("cancel", "operator cancel "+q.operator.ID)
	case n < 5 && in.loose && len(q.operator.Spans) > 0:
		g.do("remove", "span remove "+in.name+" "+q.operator.Spans[r.IntN(len(q.operator.Spans))])
	}
}

// reshape moves, splits or merges, nil if there is nothing to.
func (g *gale) reshape(r *rand.Rand, ks string, s []proc.Span) *request {
	if len(s) == 0 {
		return nil
	}
	i := r.IntN(len(s))
	n := r.IntN(3)
	switch {
	case n == 1 && len(s) > mostSpans, n == 0:
		if run := adjacent(s[i:], 2+r.IntN(3)); len(run) > 1 && len(s) > fewSpans {
			r.Shuffle(len(run), func(a, b int) { run[a], run[b] = run[b], run[a] })
			return g.do("merge", "span merge "+ks+" "+strings.Join(run, " "))
		}
	case n == 1:
		if keys := g.within(r, s[i], 1+r.IntN(3)); len(keys) > 0 {
			return g.do("split", "span split "+ks+" "+s[i].ID+" --at "+strings.Join(keys, " "))
		}
	}
	return g.do("move", fmt.Sprintf("span move %s %s --to d%d", ks, s[i].ID, 1+r.IntN(3)))
}

// within are up to n keys at which the span can be split, in order.
func (g *gale) within(r *rand.Rand, s proc.Span, n int) []string {
	from, found := slices.BinarySearch(g.names, s.Start)
	if found {
		from++
	}
	to := len(g.names)
	if s.End != "" {
		to, _ = slices.BinarySearch(g.names, s.End)
	}
	at := map[string]bool{}
	for range n {
		if from < to {
			at[g.names[from+r.IntN(to-from)]] = true
		}
	}
	return slices.Sorted(maps.Keys(at))
}

func sorted(s []proc.Span) []proc.Span {
	return slices.SortedFunc(slices.Values(s), func(a, b proc.Span) int { return cmp.Compare(a.Start, b.Start) })
}

// adjacent are the ids of the first spans without a gap between them, at most n.
func adjacent(s []proc.Span, n int) []string {
	out := []string{s[0].ID}
	for i := 1; i < min(n, len(s)) && s[i].Start == s[i-1].End; i++ {
		out = append(out, s[i].ID)
	}
	return out
}

// fill adds what is missing, and says whether there was anything.
func (g *gale) fill(in ground, s []proc.Span) bool {
	at, missing := in.start, false
	add := func(start, end string) {
		if start < end {
			missing = true
			g.do("add", "span add "+in.name+" --range "+start+":"+end)
		}
	}
	for _, sp := range s {
		add(at, sp.Start)
		at = sp.End
	}
	add(at, in.end)
	return missing
}

// whole waits, after the storm, until all is quiet and nothing is missing.
func (g *gale) whole(t *testing.T) {
	t.Helper()
	for _, in := range g.grounds {
		if in.loose {
			g.restore(in)
		}
	}
	quiet(g.c)
	for _, in := range g.grounds {
		var list proc.Spans
		g.c.Get(&list, "span", "list", in.name)
		g.c.Running(in.name, len(list.Spans))
	}
	if err := errors.Join(g.errs...); err != nil {
		t.Error(err)
	}
}

func (g *gale) restore(in ground) {
	g.c.Until("not paused", func() (bool, string) {
		quiet(g.c) // as long as a pause is under way a resume is refused
		q := g.do("resume", "keyspace resume "+in.name)
		var k proc.Keyspace
		g.c.Get(&k, "keyspace", "show", in.name)
		return k.State == "running", fmt.Sprintf("%+v %+v", k, q)
	})
	g.c.Until("all removed ranges are back", func() (bool, string) {
		quiet(g.c)
		var list proc.Spans
		g.c.Get(&list, "span", "list", in.name)
		return !g.fill(in, sorted(list.Spans)), fmt.Sprint(list)
	})
}

// accounted compares what was asked with the history: every request that was accepted is one operator that is over, or
// the end of one, and none that was refused is anything. It returns the operators by kind and outcome, and the refusals.
func (g *gale) accounted(t *testing.T) (ended, refused map[string]int) {
	t.Helper()
	ended, refused = map[string]int{}, map[string]int{}
	made, causes := map[string][]proc.Operator{}, map[string][]proc.Operator{}
	for _, o := range past(t, g.c) {
		if o.By == "user" {
			made[o.RequestID] = append(made[o.RequestID], o)
			ended[o.Type+" "+o.Outcome]++
		}
		if o.Cause != nil {
			causes[o.Cause.RequestID] = append(causes[o.Cause.RequestID], o)
		}
	}
	for _, q := range g.asked {
		got, want := made[q.id], 1
		switch q.kind {
		case "evict":
			want = 0
		case "cancel":
			got = causes[q.id]
		}
		if !q.accepted {
			want = 0
			refused[q.kind+" "+q.reason]++
		}
		if len(got) != want || want == 1 && q.operator.ID != "" && got[0].ID != q.operator.ID {
			t.Errorf("%s %v: tried %d times, accepted: %v (%s %s), as operator %q; in the history: %+v",
				q.id, q.args, q.tries, q.accepted, q.reason, q.message, q.operator.ID, got)
		}
		delete(made, q.id)
	}
	for id, ops := range made {
		if strings.HasPrefix(id, "storm-") || ops[0].Type != "keyspace" {
			t.Errorf("nobody has asked for %+v", ops)
		}
	}
	return ended, refused
}

// answeredAgain repeats some requests, now that all is over: each is the operator that it was.
func (g *gale) answeredAgain(t *testing.T) {
	t.Helper()
	known := slices.DeleteFunc(slices.Clone(g.asked), func(q *request) bool { return q.operator.ID == "" })
	rand.Shuffle(len(known), func(a, b int) { known[a], known[b] = known[b], known[a] })
	for _, q := range known[:min(repeatSome, len(known))] {
		again := &request{id: q.id, kind: q.kind, args: q.args}
		if err := again.settle(g.c); err != nil || !again.accepted || again.operator.ID != q.operator.ID {
			t.Errorf("%s %v was operator %s; repeated: %v %+v", q.id, q.args, q.operator.ID, err, again)
		}
	}
}

// repeated is how many commands had to be tried more than once, since their outcome was unknown.
func (g *gale) repeated() int {
	n := 0
	for _, q := range g.asked {
		if q.tries > 1 {
			n++
		}
	}
	return n
}
