package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Dump writes down everything that is in a State, its indexes as they are, so that two can be compared.
func Dump(s *State) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("revision %d leader %+v cluster %+v", s.revision, deref(s.leader), s.cluster)
	line("config of the cluster %+v", *s.config)
	for m := range s.Maintainers() {
		line("maintainer %+v", *m)
	}
	for n := range s.Nodes() {
		line("node %+v found by session: %v", *n, s.sessions[n.Session] == n)
	}
	line("%d sessions", len(s.sessions))
	for c := range s.NodeConfigs() {
		line("config %+v", *c)
	}
	for sp := range ordered(s.spaces) {
		dumpSpace(sp, line)
	}
	dumpSets(s, line)
	for _, id := range slices.Sorted(maps.Keys(s.requests)) {
		list := slices.SortedFunc(slices.Values(s.requests[id]), func(a, b *Request) int { return cmp.Compare(a.Key, b.Key) })
		for _, r := range list {
			line("request %+v", *r)
		}
	}
	for q := range s.Quarantined() {
		line("quarantined %+v", *q)
	}
	return b.String()
}

func dumpSpace(sp *space, line func(string, ...any)) {
	line("space %s hidden %d", sp.name, sp.hidden)
	if sp.keyspace != nil {
		plain := *sp.keyspace
		plain.Pending = nil // printed as a value, not as an address
		line("keyspace %+v pending %+v", plain, deref(sp.keyspace.Pending))
	}
	for sl := range ordered(sp.slots) {
		line("slot %v progress %v in %d", sl.ref, sl.progress, sl.buckets)
		if sl.span != nil {
			plain := *sl.span
			plain.Intent = nil // printed as a value, not as an address
			line("  span %+v intent %+v", plain, deref(sl.span.Intent))
		}
		if sl.claim != nil {
			line("  claim %+v", *sl.claim)
		}
	}
	sp.ranges.Scan(func(p placed) bool { line("placed at %q %v", p.start, p.slot.ref); return true })
	for p := range ordered(sp.progress) {
		line("progress %+v", *p)
	}
	sp.finished.Scan(func(h *History) bool {
		plain := *h
		plain.Cause = nil // printed as a value, not as an address
		line("history %+v cause %+v found by id: %v", plain, deref(h.Cause), sp.histories[h.Intent.Operator] == h)
		return true
	})
	line("%d histories", len(sp.histories))
}

func dumpSets(s *State, line func(string, ...any)) {
	set := func(name string, r *refSet) {
		r.each(func(sl *slot) bool { line("%s %v", name, sl.ref); return true })
	}
	for _, session := range s.Owners() {
		set(fmt.Sprint("owned by ", session), s.owned[session])
	}
	for _, session := range s.Claimants() {
		set(fmt.Sprint("claimed by ", session), s.acting[session])
	}
	set("ownerless", s.ownerless)
	set("intent", s.intents)
	for _, id := range slices.Sorted(maps.Keys(s.operators)) {
		for _, sp := range s.OfOperator(id) {
			line("operator %s %v", id, sp.Ref)
		}
	}
	refs := slices.SortedFunc(maps.Keys(s.histories), compareRefs)
	for _, ref := range refs {
		for _, h := range s.HistoriesOf(ref) {
			line("history of %v: %s %s", ref, h.Keyspace, h.Intent.Operator)
		}
	}
}

func deref[T any](p *T) any {
	if p == nil {
		return nil
	}
	return *p
}

// Merge gathers dirty sets as a subscription does.
func Merge(d, younger *Dirty) { d.merge(younger) }
