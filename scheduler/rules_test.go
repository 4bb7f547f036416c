package scheduler_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

func rules(t fataler, require, prefer, spread string) *scheduler.Rules {
	t.Helper()
	r, err := scheduler.ParseRules(map[string]string{
		scheduler.SettingRequire: require, scheduler.SettingPrefer: prefer, scheduler.SettingSpread: spread,
	})
	if err != nil {
		t.Fatalf("%q %q %q: %v", require, prefer, spread, err)
	}
	return r
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// What cannot be read says which setting, what of it, and what to write instead. Nothing in it is guessed.
func TestRulesThatCannotBeRead(t *testing.T) {
	for _, tc := range []struct{ name, value, says string }{
		{scheduler.SettingRequire, "zone", `"zone", which is no label=value`},
		{scheduler.SettingRequire, "zone=", `"", which is no value of label zone`},
		{scheduler.SettingRequire, "zone=a|", `"", which is no value of label zone`},
		{scheduler.SettingRequire, "=a", `"", which is no name of a label`},
		{scheduler.SettingRequire, "zone=a, disk=ssd", `" disk", which is no name of a label`},
		{scheduler.SettingRequire, "zone=a,", `"", which is no label=value`},
		{scheduler.SettingRequire, "zone=a,zone=b", "names label zone twice"},
		{scheduler.SettingRequire, "zone=a|b|a", "has value a of label zone twice"},
		{scheduler.SettingRequire, "zone==a", `"=a", which is no value of label zone`},
		{scheduler.SettingRequire, "zone=" + strings.Join(strings.Split("abcdefghijklmnopq", ""), "|"), "more than 16 values"},
		{scheduler.SettingPrefer, "zone", "no label=value"},
		{scheduler.SettingSpread, "zone=a", "is no name of a label"},
		{scheduler.SettingPin, "a:b", "no START:END=node"},
		{scheduler.SettingPin, "a:b=", "no START:END=node"},
		{scheduler.SettingPin, "b:a=n1", `range "b:a", which`},
		{scheduler.SettingPin, "a=n1", `range "a", which`},
		{scheduler.SettingPin, "a:c=n1,b:d=n2", "pins a:c and b:d, which overlap"},
	} {
		_, err := scheduler.ParseRules(map[string]string{tc.name: tc.value})
		f, ok := fault.As(err)
		if !ok || f.Field != tc.name || f.Value != tc.value || !strings.Contains(f.Message, tc.says) || f.Remedy == "" {
			t.Errorf("%s=%s: %+v", tc.name, tc.value, err)
		}
	}
	if r, err := scheduler.ParseRules(map[string]string{scheduler.SettingRequire: "", scheduler.SettingPin: "", "other": "x"}); r != nil || err != nil {
		t.Errorf("no rules: %+v, %v", r, err)
	}
}

func TestPinsFollowKeys(t *testing.T) {
	r, err := scheduler.ParseRules(map[string]string{scheduler.SettingPin: `m:p=n2,a=b:c=n1,x\x2c:=n3`})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"a:b": "n1", "b:bb": "n1", "bb:c": "n1", "c:m": "", "c:n": "n2", "a:z": "n1", ":": "n1", "p:x": "", "y:": "n3", ":a": "",
	} {
		rg, err := span.ParseRange(text)
		if got := r.Pins.Pinned(rg); err != nil || got != want {
			t.Errorf("%s: pinned to %q, want %q (%v)", text, got, want, err)
		}
	}
}

// Spans that are pinned go nowhere else, not even as long as their node is not there.
func TestPinned(t *testing.T) {
	ns := nodes(3)
	ns[0].Spans, ns[2].Eligible, ns[2].Why = 50, false, "cordoned"
	ws := wants(3)
	ws[0].Pin, ws[1].Pin, ws[2].Pin = "n0", "n2", "n9"
	placed, left := scheduler.Place(ws, ns)
	if len(placed) != 1 || placed[0].Node != "n0" || len(left) != 2 {
		t.Fatalf("%+v, left %+v", placed, left)
	}
	for i, want := range []string{"place.pin ties it to n2: n2 is cordoned", "place.pin ties it to n9: n9 is gone"} {
		if left[i].Why != want || !left[i].Ruled || left[i].Budget {
			t.Errorf("%+v, want %q", left[i], want)
		}
	}
}

// A node that is preferred, or whose turn it is, and only busy is waited for.
func TestBusyNodesAreWaitedFor(t *testing.T) {
	ns := nodes(2)
	ns[0].Labels, ns[1].Labels = map[string]string{"zone": "a"}, map[string]string{"zone": "b"}
	ns[0].Budget = 2
	for _, r := range []*scheduler.Rules{rules(t, "", "zone=a", ""), rules(t, "", "", "zone")} {
		ws := wants(6)
		for i := range ws {
			ws[i].Rules = r
		}
		placed, left := scheduler.Place(ws, ns)
		if got := counts(placed); got["n0"] != 2 || got["n1"] > 3 || len(left) == 0 || !left[0].Budget || left[0].Ruled {
			t.Errorf("%v, left %+v", got, left)
		}
	}
}

// Draining keeps to the rules, and counts what leaves as left.
func TestDrainKeepsToTheRules(t *testing.T) {
	ns := labelled("a", "a", "b", "c")
	ns[0].Spans, ns[0].Of = 6, map[string]int{"k": 6}
	es := evictees("n0", 6)
	run := func(r *scheduler.Rules, pin string) scheduler.DrainPlan {
		for i := range es {
			es[i].Rules, es[i].Pin = r, pin
		}
		return scheduler.Drain(es, ns, map[string]int{"n0": 9})
	}
	if got := targets(run(rules(t, "zone=b|c", "zone=c", ""), "")); !maps.Equal(got, map[string]int{"n3": 6}) {
		t.Errorf("required and preferred: %v", got)
	}
	if got := targets(run(rules(t, "", "", "zone"), "")); !maps.Equal(got, map[string]int{"n1": 2, "n2": 2, "n3": 2}) {
		t.Errorf("spread: %v", got)
	}
	if p := run(rules(t, "zone=z", "", ""), ""); len(p.Moves) > 0 || len(p.Stuck) != 6 || !p.Stuck[0].Ruled || p.Stuck[0].Why != "place.require=zone=z cannot be met: of 4 nodes 4 lack zone=z" {
		t.Errorf("impossible: %+v", p)
	}
	if p := run(nil, "n0"); len(p.Moves) > 0 || len(p.Stuck) != 6 || p.Stuck[0].Why != "place.pin ties it to n0: n0 is drained" {
		t.Errorf("pinned: %+v", p)
	}
}

func labelled(zones ...string) []scheduler.Node {
	ns := nodes(len(zones))
	for i, z := range zones {
		if z != "" {
			ns[i].Labels = map[string]string{"zone": z}
		}
	}
	return ns
}

// Whatever the cluster: no span goes to a node that does not have what is required, or to another one than its pin; where
// more of what is preferred could be had it is; values of the spread that could take a span have at most one less than one that
// was given some; what is left over could go nowhere; and the same again gives the same.
func TestRulesProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ns := rapid.SliceOfNDistinct(rapid.Custom(drawLabelled), 0, 8, func(n scheduler.Node) string { return n.Name }).Draw(t, "nodes")
		byKeyspace := map[string]*scheduler.Rules{"k": drawRules(t), "l": drawRules(t)}
		ws := wants(rapid.IntRange(0, 40).Draw(t, "spans"))
		for i := range ws {
			ws[i].Ref.Keyspace = rapid.SampledFrom([]string{"k", "l"}).Draw(t, "keyspace")
			ws[i].Rules = byKeyspace[ws[i].Ref.Keyspace]
			if rapid.IntRange(0, 9).Draw(t, "pinned") == 0 {
				ws[i].Pin = rapid.SampledFrom([]string{"n1", "n2", "n9"}).Draw(t, "pin")
			}
		}
		placed, left := scheduler.Place(ws, ns)
		checkOnce(t, ws, placed, left)
		checkLimits(t, ns, ws, placed)
		checkRules(t, ns, ws, placed)
		checkLeft(t, ns, ws, placed, left)
		placed2, left2 := scheduler.Place(ws, rapid.Permutation(ns).Draw(t, "order"))
		if d := cmp.Diff(placed, placed2) + cmp.Diff(left, left2, cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Why" }, cmp.Ignore())); d != "" {
			t.Fatalf("another order of nodes gives another plan:\n%s", d)
		}
	})
}

var names = []string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8"}

func drawLabelled(t *rapid.T) scheduler.Node {
	n := drawNode(t)
	n.Name = rapid.SampledFrom(names).Draw(t, "name")
	n.Eligible = rapid.IntRange(0, 3).Draw(t, "eligible") > 0
	n.Workloads = rapid.SampledFrom([][]string{{"gate"}, {"gate"}, {"gate"}, {"mirror"}}).Draw(t, "workloads")
	n.Labels = map[string]string{}
	for _, l := range []string{"zone", "disk"} {
		if v := rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, l); v != "" {
			n.Labels[l] = v
		}
	}
	n.Of = map[string]int{"k": rapid.IntRange(0, n.Spans).Draw(t, "of k")}
	n.Of["l"] = n.Spans - n.Of["k"]
	return n
}

func drawRules(t *rapid.T) *scheduler.Rules {
	terms := rapid.SampledFrom([]string{"", "", "", "zone=a", "zone=a|b", "disk=b", "zone=b|c,disk=a|b", "node=n1|n2|n3"})
	spread := rapid.SampledFrom([]string{"", "zone", "node"})
	return rules(t, terms.Draw(t, "require"), terms.Draw(t, "prefer"), spread.Draw(t, "spread"))
}

// has is the rule read anew, so that the checks do not believe the code that they check.
func has(n scheduler.Node, terms scheduler.Terms) (held int) {
	for _, t := range terms {
		v, ok := n.Labels[t.Label]
		if t.Label == "node" {
			v, ok = n.Name, true
		}
		if ok && slices.Contains(t.Values, v) {
			held++
		}
	}
	return held
}

func ruled(n scheduler.Node, w scheduler.Want) bool {
	return (w.Rules == nil || has(n, w.Rules.Require) == len(w.Rules.Require)) && (w.Pin == "" || w.Pin == n.Name)
}

func score(n scheduler.Node, w scheduler.Want) int {
	if w.Rules == nil {
		return 0
	}
	return has(n, w.Rules.Prefer)
}

// takes: the node could take one more span, given enough budget.
func takes(n scheduler.Node, w scheduler.Want) bool {
	return n.Eligible && slices.Contains(n.Workloads, w.Workload) && ruled(n, w) && (n.Capacity == 0 || n.Spans < n.Capacity)
}

// after is the cluster with the plan carried out.
func after(ns []scheduler.Node, placed []scheduler.Assignment) map[string]scheduler.Node {
	out := map[string]scheduler.Node{}
	for _, n := range ns {
		n.Of = maps.Clone(n.Of)
		for _, a := range placed {
			if a.Node == n.Name {
				n.Spans++
				n.Budget--
				n.Of[a.Ref.Keyspace]++
			}
		}
		out[n.Name] = n
	}
	return out
}

func wantOf(ws []scheduler.Want, r operator.Ref) scheduler.Want {
	return ws[slices.IndexFunc(ws, func(w scheduler.Want) bool { return w.Ref == r })]
}

func checkRules(t *rapid.T, ns []scheduler.Node, ws []scheduler.Want, placed []scheduler.Assignment) {
	end := after(ns, placed)
	for _, a := range placed {
		n, w := end[a.Node], wantOf(ws, a.Ref)
		if !ruled(n, w) {
			t.Fatalf("%v is on %+v, which breaks %+v pin %q", a.Ref, n, w.Rules, w.Pin)
		}
		if w.Pin != "" || w.Rules == nil {
			continue
		}
		for _, o := range end {
			switch {
			case !takes(o, w): // what has room in the end had it all the time
			case score(o, w) > score(n, w):
				t.Fatalf("%v is on %s, and %s is preferred and has room", a.Ref, n.Name, o.Name)
			case w.Rules.Spread != "" && score(o, w) == score(n, w) && !pinnedOn(ws, placed, a.Ref.Keyspace, n, w, end):
				x, y := valueCount(end, w, n), valueCount(end, w, o)
				if x > y+1 {
					t.Fatalf("%v made it %d spans of %s at %s, and there are %d at %s, which has room", a.Ref, x, a.Ref.Keyspace, n.Name, y, o.Name)
				}
			}
		}
	}
}

// pinnedOn: pins, or another preference at another time, have brought spans to the value of the node without regard to the spread.
func pinnedOn(ws []scheduler.Want, placed []scheduler.Assignment, keyspace string, n scheduler.Node, w scheduler.Want, end map[string]scheduler.Node) bool {
	return slices.ContainsFunc(placed, func(a scheduler.Assignment) bool {
		o := end[a.Node]
		return a.Ref.Keyspace == keyspace && value(o, w) == value(n, w) && (wantOf(ws, a.Ref).Pin != "" || score(o, w) != score(n, w))
	})
}

func value(n scheduler.Node, w scheduler.Want) string {
	if w.Rules.Spread == "node" {
		return n.Name
	}
	return n.Labels[w.Rules.Spread]
}

func valueCount(end map[string]scheduler.Node, w scheduler.Want, of scheduler.Node) (count int) {
	for _, n := range end {
		if value(n, w) == value(of, w) {
			count += n.Of[w.Ref.Keyspace]
		}
	}
	return count
}

func checkLeft(t *rapid.T, ns []scheduler.Node, ws []scheduler.Want, placed []scheduler.Assignment, left []scheduler.Unplaced) {
	end := after(ns, placed)
	for _, u := range left {
		w := wantOf(ws, u.Ref)
		fits, bare := false, w
		bare.Rules, bare.Pin = nil, ""
		without := false
		for _, n := range end {
			fits = fits || takes(n, w)
			without = without || takes(n, bare)
			if takes(n, w) && n.Budget > 0 && (w.Rules == nil || len(w.Rules.Prefer) == 0 && w.Rules.Spread == "") {
				t.Fatalf("%v was left over (%s) though %s could take it", u.Ref, u.Why, n.Name)
			}
		}
		if fits && !u.Budget {
			t.Fatalf("%v was left over for good (%s)", u.Ref, u.Why)
		}
		if !fits && without && !u.Budget && !u.Ruled {
			t.Fatalf("%v: only the rules stand against it, and it says %q", u.Ref, u.Why)
		}
	}
}

// A thousand keyspaces with rules: each of them goes through the nodes once, no span does.
func BenchmarkPlaceRules(b *testing.B) {
	for _, n := range []int{10, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			ns := nodes(n)
			for i := range ns {
				ns[i].Labels = map[string]string{"zone": fmt.Sprint(i % 5)}
			}
			ws := wants(10_000)
			for i := range ws {
				ws[i].Ref.Keyspace = fmt.Sprint("k", i%1000)
				ws[i].Rules, _ = scheduler.ParseRules(map[string]string{scheduler.SettingRequire: "zone=1|2|3", scheduler.SettingSpread: "zone"})
			}
			for b.Loop() {
				scheduler.Place(ws, ns)
			}
		})
	}
}
