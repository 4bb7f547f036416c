package maintainer

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// barredAfter is how long the rules of its keyspace may keep a span from being placed before that is a problem: nodes that
// restart are back by then.
const barredAfter = 2 * time.Second

// placeSettings are those that hold the rules of a keyspace.
var placeSettings = []string{scheduler.SettingRequire, scheduler.SettingPrefer, scheduler.SettingSpread, scheduler.SettingPin}

// checkRules refuses rules that cannot be read, and settings that look as if they were some.
func checkRules(set map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if strings.HasPrefix(name, scheduler.SettingPrefix) && !slices.Contains(placeSettings, name) {
			return fault.New(fault.InvalidArgument, "is no setting of placement").On(name, set[name]).Fix("use one of %s", strings.Join(placeSettings, ", "))
		}
	}
	_, err := scheduler.ParseRules(set)
	return err
}

// withoutTakenBack drops rules that are set to nothing.
func withoutTakenBack(set map[string]string) map[string]string {
	for _, name := range placeSettings {
		if v, ok := set[name]; ok && v == "" {
			delete(set, name)
		}
	}
	return set
}

// checkNamed refuses rules that are new and name a label that no registered node has, or a node that nobody knows: it may be
// mistyped, and no span would ever run. Values are not checked: nodes that have them may be away. Spans say what they wait for.
func checkNamed(s *view.State, was, set map[string]string) error {
	for _, name := range placeSettings {
		value := set[name]
		if value == "" || value == was[name] {
			continue
		}
		rules, err := scheduler.ParseRules(map[string]string{name: value})
		if err != nil {
			return err
		}
		if f := unknownIn(s, rules); f != nil {
			return f.On(name, value)
		}
	}
	return nil
}

func unknownIn(s *view.State, rules *scheduler.Rules) *fault.Error {
	known := labelsOf(s)
	for _, label := range rules.Labels() {
		if !known[label] {
			return fault.New(fault.UnknownLabel, "no registered node has label %s", label).
				Fix("use one of %s, or start a node with `spanward dispatcher --label %s=…` first", strings.Join(slices.Sorted(maps.Keys(known)), ", "), label)
		}
	}
	for _, p := range rules.Pins {
		if _, ok := nodeFactsOf(s, p.Node); !ok {
			return fault.New(fault.UnknownNode, "nothing is known of node %s", p.Node).Fix("start it first, or see `spanward node list`")
		}
	}
	return nil
}

// labelsOf are all that registered nodes have.
func labelsOf(s *view.State) map[string]bool {
	known := map[string]bool{scheduler.NodeLabel: true}
	for n := range s.Nodes() {
		for label := range n.Labels {
			known[label] = true
		}
	}
	return known
}

// rulesIn are the rules that the settings of a keyspace hold, nil if there are none. What was accepted can be read; what only
// another version could accept is not obeyed.
func rulesIn(set map[string]string) *scheduler.Rules {
	r, _ := scheduler.ParseRules(set)
	return r
}

// allRules are those of all keyspaces that have some.
func allRules(s *view.State) map[string]*scheduler.Rules {
	out := map[string]*scheduler.Rules{}
	for ks := range s.Keyspaces() {
		if r := rulesIn(ks.Settings); r != nil {
			out[ks.Name] = r
		}
	}
	return out
}

// rulesOf a keyspace, read once.
func (l *loop) rulesOf(keyspace string) *scheduler.Rules {
	r, ok := l.rules[keyspace]
	if !ok {
		r = rulesIn(l.state.Keyspace(keyspace).Settings)
		l.rules[keyspace] = r
	}
	return r
}

// pinOf is the node that the rules tie a span to, "" for none.
func pinOf(rules *scheduler.Rules, s operator.Span) string {
	if rules == nil {
		return ""
	}
	return rules.Pins.Pinned(s.Range)
}

// forbids says why the rules of its keyspace keep a span off a node, "" if they do not.
func forbids(ks *view.Keyspace, s operator.Span, n nodeFacts) string {
	rules := rulesIn(ks.Settings)
	if pin := pinOf(rules, s); pin != "" && pin != n.name {
		return fmt.Sprintf("%s ties span %s to %s", scheduler.SettingPin, s.ID, pin)
	}
	if t, lacks := rules.Lacks(scheduler.Node{Name: n.name, Labels: n.node.Labels}); lacks {
		return fmt.Sprintf("does not have %s, and keyspace %s has %s=%s", t, ks.Name, scheduler.SettingRequire, rules.Require)
	}
	return ""
}

// share is a session's part of a keyspace.
type share struct {
	session  int64
	keyspace string
}

// divide tells the nodes how many spans of the keyspaces each will have, for those that are spread.
func (l *loop) divide(nodes []scheduler.Node, keyspaces map[string]bool) {
	rules := map[string]*scheduler.Rules{}
	for ks := range keyspaces {
		if r := l.rulesOf(ks); r != nil {
			rules[ks] = r
		}
	}
	divide(nodes, rules, l.shares, l.drains.moves.headings)
}

// divide counts what the sessions have, as it will be once the moves in flight are done.
func divide(nodes []scheduler.Node, rules map[string]*scheduler.Rules, shares map[share]int, headings map[operator.Ref]heading) {
	spread := map[string]bool{}
	for ks, r := range rules {
		if r.Spread != "" {
			spread[ks] = true
		}
	}
	if len(spread) == 0 {
		return
	}
	coming, leaving := map[string]map[string]int{}, map[int64]map[string]int{}
	for r, h := range headings {
		if spread[r.Keyspace] {
			addTo(coming, h.to, r.Keyspace)
			addTo(leaving, h.from, r.Keyspace)
		}
	}
	for i := range nodes {
		n := &nodes[i]
		n.Of = map[string]int{}
		for ks := range spread {
			n.Of[ks] = shares[share{n.Session, ks}] + coming[n.Name][ks] - leaving[n.Session][ks]
		}
	}
}

func addTo[K comparable](m map[K]map[string]int, k K, keyspace string) {
	if m[k] == nil {
		m[k] = map[string]int{}
	}
	m[k][keyspace]++
}

// barred are the spans of a keyspace that its rules have kept from being placed for a while.
func barred(l keyspaceLook, now time.Time) []problem {
	var out []problem
	more := 0
	for _, s := range l.spans {
		since := s.heard.barredSince
		switch {
		case since.IsZero() || now.Sub(since) < barredAfter || s.claim != nil || s.owned:
		case len(out) == shownProblems:
			more++
		default:
			out = append(out, problem{kind: problemPlacement, keyspace: l.Name, span: string(s.ID), message: s.heard.waiting, since: since})
		}
	}
	if more > 0 {
		out = append(out, problem{kind: problemPlacement, keyspace: l.Name, message: fmt.Sprintf("and %d more spans", more)})
	}
	return out
}

const problemPlacement = "placement"
