package integration_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/integration/proc"
)

// deaths are who dies while operators are in flight. With more these are, besides the leader, its successor and d1, which
// acts for most of them.
var deaths = []struct {
	name string
	more bool
	ttl  string
}{
	{"the leader", false, "10s"},
	{"two leaders and a dispatcher", true, "5s"},
}

// letters is which node owns the span of each letter in the beginning.
var letters = map[string]string{
	"a": "d1", "b": "d1", "c": "d1", "d": "d1", "e": "d1", "f": "d2", "g": "d1", "h": "d1", "i": "d2", "j": "d3",
	"k": "d1", "l": "d2", "m": "d3", // nothing is to happen to these
}

// heldOperators are asked for at once. Letters stand for spans.
var heldOperators = []struct {
	kind, command string
	// stage is where it is held, without is where once d1 is gone, too: "" where that ends it.
	stage, without string
}{
	{"move", "span move g a --to d2", "closing", "opening"},
	{"move", "span move g b --to d3", "opening", "opening"},
	{"split", "span split g c --at c3 c6", "closing", ""},
	{"remove", "span remove g d", "closing", "opening"},
	{"merge", "span merge g e f", "opening", ""}, // d1 gathers
	{"merge", "span merge g g h", "closing", ""},
	{"merge", "span merge g i j", "closing", "closing"}, // d2 gathers
	{"add", "span add g --range x:y", "", ""},
}

// heldClosings are the spans of which the closing waits; of all others the opening does.
var heldClosings = []string{"a", "c", "d", "g", "h", "j"}

// heldEnd is what there is once all are done.
var heldEnd = []string{"a:b", "b:c", "c3:c6", "c6:d", "c:c3", "e:g", "g:i", "i:k", "k:l", "l:m", "m:n", "x:y"}

// Every kind of operator is held in the middle when the leader is killed, and then perhaps the next one and the
// dispatcher that acts for most of them. Each goes on from where it was, ends as asked, and once.
func TestEveryOperatorHeldWhileTheLeaderIsKilled(t *testing.T) {
	for _, v := range deaths {
		t.Run(v.name, func(t *testing.T) {
			c := cluster(t, proc.Options{TTL: v.ttl}, 3)
			h := &held{t: t, c: c, before: arrange(t, c)}
			h.hold()
			h.await("all held", h.stages)
			killLeader(t, c)
			h.same("after the take-over", h.stages)
			if v.more {
				c.Process("d1").Kill()
				h.await("others act for the dispatcher that is gone", h.without)
				killLeader(t, c)
				h.same("after the second take-over", h.without)
			}
			h.release()
			h.verify(v.more)
		})
	}
}

// held is a cluster of which the operators wait.
type held struct {
	t *testing.T
	c *proc.Cluster
	// before are the spans by letter.
	before map[string]proc.Span
	opened map[string]int
	files  []string
	asked  []*request
}

// arrange makes the keyspace, with every span where it is wanted.
func arrange(t *testing.T, c *proc.Cluster) map[string]proc.Span {
	t.Helper()
	c.Do("scheduler", "pause", "balance") // else it would move what is arranged
	args := []string{"keyspace", "create", "g", "--workload", "gate", "--wait", "--timeout", "60s"}
	for letter := range letters {
		args = append(args, "--range", letter+":"+string(letter[0]+1))
	}
	c.Do(args...)
	var moves []*request
	for _, s := range c.Running("g", len(letters)) {
		if to := letters[s.Start]; s.Node != to {
			moves = append(moves, ask("arrange-"+s.Start, "move", "span move g "+s.ID+" --wait --to "+to))
		}
	}
	settleAll(t, c, moves...)
	by := map[string]proc.Span{}
	for _, s := range c.Running("g", len(letters)) {
		if by[s.Start] = s; s.Node != letters[s.Start] {
			t.Fatalf("%+v is not at %s", s, letters[s.Start])
		}
	}
	return by
}

// hold asks for all operators, none of which can end.
func (h *held) hold() {
	h.opened = h.c.Openings()
	h.files = []string{"hold-open"}
	for _, letter := range heldClosings {
		h.files = append(h.files, "hold-close."+h.before[letter].ID)
	}
	for _, f := range h.files {
		h.c.Hold(f)
	}
	for i, o := range heldOperators {
		words := strings.Fields(o.command)
		for j := 3; j < len(words); j++ {
			if s, ok := h.before[words[j]]; ok {
				words[j] = s.ID
			}
		}
		h.asked = append(h.asked, ask(fmt.Sprint("held-", i), o.kind, strings.Join(words, " ")))
	}
	settleAll(h.t, h.c, h.asked...)
}

func (h *held) release() {
	for _, f := range h.files {
		h.c.Release(f)
	}
}

// stages and without are where each operator should be, by its id.
func (h *held) stages() map[string]string {
	want := map[string]string{}
	for i, o := range heldOperators {
		if o.stage != "" {
			want[h.asked[i].operator.ID] = o.stage
		}
	}
	return want
}

func (h *held) without() map[string]string {
	want := map[string]string{}
	for i, o := range heldOperators {
		if o.without != "" {
			want[h.asked[i].operator.ID] = o.without
		}
	}
	return want
}

// at tells how what is in flight differs from what is wanted. Placements have no id, and are not looked at.
func (h *held) at(want func() map[string]string) (bool, string) {
	var list proc.Operators
	if !h.c.TryGet(&list, "operator", "list") {
		return false, "operator list failed"
	}
	got := map[string]string{}
	for _, o := range list.Operators {
		if o.ID != "" {
			got[o.ID] = o.Stage
		}
	}
	diff := cmp.Diff(want(), got)
	return diff == "", fmt.Sprintf("%s%+v", diff, list)
}

func (h *held) await(what string, want func() map[string]string) {
	h.t.Helper()
	h.c.Until(what, func() (bool, string) { return h.at(want) })
}

func (h *held) same(what string, want func() map[string]string) {
	h.t.Helper()
	if ok, sees := h.at(want); !ok {
		h.t.Fatalf("%s: %s", what, sees)
	}
}

func killLeader(t *testing.T, c *proc.Cluster) {
	t.Helper()
	killed := c.Leader()
	killed.Kill()
	if c.Leader() == killed {
		t.Fatal("the dead leads")
	}
}

// verify is called when nothing is held any more.
func (h *held) verify(d1Gone bool) {
	h.t.Helper()
	spans := h.c.Running("g", len(heldEnd))
	quiet(h.c)
	doneOnce(h.t, h.c, h.asked, "arrange-")
	var ranges []string
	now := map[string]proc.Span{}
	for _, s := range spans {
		ranges = append(ranges, s.Start+":"+s.End)
		now[s.Start] = s
	}
	slices.Sort(ranges)
	if d := cmp.Diff(heldEnd, ranges); d != "" {
		h.t.Errorf("ranges: %s", d)
	}
	for letter, node := range map[string]string{"a": "d2", "b": "d3"} {
		if now[letter].Node != node {
			h.t.Errorf("%s was to be moved to %s, and runs at %s", letter, node, now[letter].Node)
		}
	}
	for _, letter := range []string{"k", "l", "m"} {
		was := h.before[letter]
		if gone := d1Gone && was.Node == "d1"; !gone && now[letter].Token != was.Token {
			h.t.Errorf("nobody asked anything of %+v, which is %+v now", was, now[letter])
		}
	}
	h.openedOnce(now, d1Gone)
	h.c.Verdict()
}

// openedOnce: nothing that was asked for was done twice, and nothing else was done. A span is opened where it goes, and
// none of those that were given up, but to fence their sink.
func (h *held) openedOnce(now map[string]proc.Span, d1Gone bool) {
	h.t.Helper()
	want := map[string]int{h.before["j"].ID: 1} // gathered
	for _, s := range now {
		if s.Token != h.before[s.Start].Token {
			want[s.ID] = 1
		}
	}
	if d1Gone {
		want[h.before["d"].ID] = 1 // fenced before it was removed
	} else {
		want[h.before["f"].ID] = 1 // gathered
	}
	got := map[string]int{}
	for id, n := range h.c.Openings() {
		if n -= h.opened[id]; n > 0 {
			got[id] = n
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		h.t.Errorf("openings: %s", d)
	}
}

// The same with a mirror whose source changes all the time: nothing is held, so leaders and a dispatcher are killed at
// whatever is going on. Source and destination are equal in the end.
func TestEveryOperatorOfAMirrorWhileTheLeaderIsKilled(t *testing.T) {
	for _, v := range deaths {
		t.Run(v.name, func(t *testing.T) {
			c := cluster(t, proc.Options{TTL: v.ttl}, 3)
			c.Do("scheduler", "pause", "balance") // else it would hold spans that an operator is asked for
			m := mirror(t, c, 8)
			s := c.Running("copy", 8)
			removed := s[2]
			asked := []*request{
				ask("1", "move", "span move copy "+s[0].ID+" --to "+away(s[0].Node)),
				ask("2", "split", "span split copy "+s[1].ID+" --at key/080 key/100"),
				ask("3", "remove", "span remove copy "+removed.ID),
				ask("4", "merge", "span merge copy "+s[3].ID+" "+s[4].ID),
				ask("5", "merge", "span merge copy "+s[6].ID+" "+s[5].ID),
				ask("6", "move", "span move copy "+s[7].ID+" --to "+away(s[7].Node)),
			}
			wait := settling(t, c, asked...)
			killLeader(t, c)
			if v.more {
				c.Process("d1").Kill()
				killLeader(t, c)
			}
			wait()
			c.Until("the range is free", func() (bool, string) {
				a := c.Spanward("span", "show", "copy", removed.ID)
				return a.Code == 3, a.Out + a.Err
			})
			add := ask("7", "add", "span add copy --range "+removed.Start+":"+removed.End)
			settleAll(t, c, add)
			c.Running("copy", 8)
			quiet(c)
			doneOnce(t, c, append(asked, add))
			m.equal(t)
			c.Verdict()
		})
	}
}

// away is a node that is not this one, and is not killed.
func away(node string) string {
	if node == "d2" {
		return "d3"
	}
	return "d2"
}
