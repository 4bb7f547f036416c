package explore

import (
	"fmt"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// checkWrite notices what no transaction may do, whatever the state is afterwards.
func (x *explorer) checkWrite(t *state, before *store, w *sent) {
	if w.term != 0 && w.term != before.kvs[x.leaderKey].mod && !x.cfg.Mutant.Termless {
		t.bad = "a transaction of a former leader, or one that it asked for, was carried out"
	}
	for n, k := range x.history {
		if e := &before.kvs[k]; e.val != nil && t.etcd.kvs[k] != *e {
			t.bad = fmt.Sprintf("%s ended twice", x.opName(n))
		}
	}
	if was, ok := x.lowest(before); ok {
		if is, ok := x.lowest(t.etcd); ok && is < was {
			t.bad = "the checkpoint of the keyspace goes back"
		}
	}
	for i, k := range x.spanKeys {
		was, is := before.kvs[k].val, t.etcd.kvs[k].val
		if was != nil && is != nil && is.span.Checkpoint.At < was.span.Checkpoint.At {
			t.bad = fmt.Sprintf("the checkpoint of %s goes back", x.refs[i].ID)
		}
	}
}

// lowest is the lowest position in a record.
func (x *explorer) lowest(s *store) (at uint64, ok bool) {
	for _, k := range x.spanKeys {
		if v := s.kvs[k].val; v != nil && (!ok || v.span.Checkpoint.At < at) {
			at, ok = v.span.Checkpoint.At, true
		}
	}
	return at, ok
}

// check states the invariants of a state, "" if they hold.
func (x *explorer) check(t *state) string {
	if t.bad != "" {
		return t.bad
	}
	rules := []func(*state) string{x.coverage, x.operators, x.claims, x.owners, x.running}
	if x.cfg.Of&Claim != 0 {
		rules = rules[:3]
	}
	for _, f := range rules {
		if bad := f(t); bad != "" {
			return bad
		}
	}
	return ""
}

// coverage: records never overlap, and cover what was there at the start but for what was removed.
func (x *explorer) coverage(t *state) string {
	var once, twice, removed uint8
	for i := range x.refs {
		if t.etcd.kvs[x.spanKeys[i]].val != nil {
			twice |= once & x.segments[i]
			once |= x.segments[i]
		}
	}
	for n, o := range x.cfg.Ops {
		if e := &t.etcd.kvs[x.history[n]]; e.val != nil && o.Kind == record.KindRemove && e.val.ended.Outcome == record.OutcomeDone {
			removed |= x.segments[x.spanIndex[o.Spans[0]]]
		}
	}
	switch {
	case twice != 0:
		return "two span records overlap"
	case x.cfg.Keyspace == record.KeyspaceDeleting:
		return ""
	case once&removed != 0:
		return "a removed range has a record"
	case once|removed != x.universe:
		return "a range without a span record"
	}
	return ""
}

// operators: an accepted operator is an intent in all of its records, or in the history, and never both.
func (x *explorer) operators(t *state) string {
	for n, o := range x.cfg.Ops {
		carrying := 0
		for i := range x.refs {
			if v := t.etcd.kvs[x.spanKeys[i]].val; v != nil && v.span.Intent != nil && v.span.Intent.Operator == x.opIDs[n] {
				carrying++
			}
		}
		ended := t.etcd.kvs[x.history[n]].val != nil
		switch accepted := t.accepted>>n&1 == 1; {
		case !accepted && (carrying > 0 || ended):
			return x.opName(n) + " is there and was never accepted"
		case accepted && carrying == 0 && !ended:
			return x.opName(n) + " was accepted, and is neither an intent nor in the history"
		case ended && carrying > 0:
			return x.opName(n) + " has ended and is an intent"
		case carrying > 0 && carrying < len(o.Spans):
			return x.opName(n) + " is the intent of some of its spans only"
		}
	}
	return ""
}

// claims: a claim is on the lease of its session, which is present, on a span that exists, for the operator there.
func (x *explorer) claims(t *state) string {
	for i := range x.refs {
		c := x.claim(t, i)
		if c == nil {
			continue
		}
		rec, ok := x.span(t, i)
		switch {
		case t.etcd.kvs[x.claimKeys[i]].own != c.Session:
			return fmt.Sprintf("the claim of %s does not end with its session", x.refs[i].ID)
		case x.cfg.Of&NodeKey == 0 && !x.present(t, x.nodeIndex[c.Node], c.Session):
			return fmt.Sprintf("the claim of %s is of a session that is over", x.refs[i].ID)
		case !ok:
			return fmt.Sprintf("a claim of %s, which does not exist", x.refs[i].ID)
		case c.Operator != "" && operatorOf(rec) != c.Operator:
			return fmt.Sprintf("the claim of %s is for an operator that its record does not have", x.refs[i].ID)
		case c.Operator == "" && rec.Intent != nil:
			return fmt.Sprintf("an operator was accepted under the claim of %s", x.refs[i].ID)
		}
	}
	return ""
}

func operatorOf(s operator.Span) string {
	if s.Intent == nil {
		return ""
	}
	return s.Intent.Operator
}

// owners: what runs at a present session is recorded, and the sink takes its writes.
func (x *explorer) owners(t *state) string {
	for p, pr := range t.procs {
		if !x.present(t, pr.node, pr.session) {
			continue
		}
		for i, h := range pr.held {
			if h == nil || h.Phase != operator.Running {
				continue
			}
			if !x.known(t, p, i) {
				return fmt.Sprintf("%s runs %s, and etcd does not know", x.cfg.Nodes[pr.node], x.refs[i].ID)
			}
			bad := ""
			x.each(i, func(b int) {
				if t.sink[b] > h.running && x.claim(t, i) == nil {
					bad = fmt.Sprintf("%s owns %s, and the sink refuses its writes", x.cfg.Nodes[pr.node], x.refs[i].ID)
				}
			})
			if bad != "" {
				return bad
			}
		}
	}
	return ""
}

// running: of two instances over one key only the one with the higher token can write, and the other one's session is
// over. At a sink that takes everything there are no two.
func (x *explorer) running(t *state) string {
	for p, a := range t.procs {
		for i, h := range a.held {
			if h == nil || h.running == 0 {
				continue
			}
			if bad := x.beside(t, p, i, h); bad != "" {
				return bad
			}
		}
	}
	return ""
}

func (x *explorer) beside(t *state, p, i int, h *held) string {
	for q, b := range t.procs {
		for j, o := range b.held {
			if o == nil || o.running == 0 || x.segments[i]&x.segments[j] == 0 || p == q && i == j || o.running < h.running {
				continue
			}
			names := fmt.Sprintf("%s at %s and %s at %s", x.refs[i].ID, x.cfg.Nodes[t.procs[p].node], x.refs[j].ID, x.cfg.Nodes[b.node])
			switch {
			case p == q:
				return "one process runs overlapping instances: " + names
			case o.running == h.running:
				return "two processes run with one token: " + names
			case x.present(t, t.procs[p].node, t.procs[p].session):
				return "two owners, both present: " + names
			case x.cfg.Unfenced:
				return "two owners, both may act: " + names
			}
		}
	}
	return x.removedUnder(t, i, h)
}

// removedUnder: once a remove is done, no write may reach its range.
func (x *explorer) removedUnder(t *state, i int, h *held) string {
	for n, o := range x.cfg.Ops {
		if o.Kind != record.KindRemove || t.etcd.kvs[x.history[n]].val == nil || t.etcd.kvs[x.history[n]].val.ended.Outcome != record.OutcomeDone {
			continue
		}
		bad := false
		x.each(x.spanOf(string(o.Spans[0])), func(b int) {
			bad = bad || x.segments[i]>>b&1 == 1 && t.sink[b] <= h.running
		})
		if bad {
			return "a range is removed, and somebody can still write into it"
		}
	}
	return ""
}

// clean reports whether everything accepted has ended, every span runs at its owner, and nothing else is left.
func (x *explorer) clean(t *state) bool {
	for n := range x.cfg.Ops {
		if t.accepted>>n&1 == 1 && t.etcd.kvs[x.history[n]].val == nil {
			return false
		}
	}
	for i := range x.refs {
		rec, ok := x.span(t, i)
		if x.claim(t, i) != nil || ok && !x.settled(t, i, rec) {
			return false
		}
	}
	for p, pr := range t.procs {
		for i, h := range pr.held {
			if h != nil && (!x.known(t, p, i) || !x.present(t, pr.node, pr.session)) {
				return false
			}
		}
	}
	return true
}

// settled reports whether a span is as its keyspace wants it.
func (x *explorer) settled(t *state, i int, rec operator.Span) bool {
	switch x.cfg.Keyspace {
	case record.KeyspacePaused:
		return rec.Intent == nil && !x.present(t, x.nodeIndex[rec.Owner.Node], rec.Owner.Session)
	case record.KeyspaceDeleting:
		return false
	default:
	}
	p := t.procOf(rec.Owner.Session)
	if rec.Intent != nil || p < 0 || !x.present(t, t.procs[p].node, rec.Owner.Session) {
		return false
	}
	h := t.procs[p].held[i]
	return h != nil && h.Phase == operator.Running && h.send == nil && h.running == rec.Owner.Token
}

func (x *explorer) spanOf(id string) int {
	i, ok := x.spanIndex[span.ID(id)]
	if !ok {
		panic("explore: no configuration has span " + id)
	}
	return i
}

// hasLease reports whether etcd would take leased puts of the batch.
func (x *explorer) hasLease(t *state, w *sent) bool {
	for _, op := range w.Part.Then {
		if op.Leased && !op.Delete && !x.leased(t, w.lease) {
			return false
		}
	}
	return true
}

func (x *explorer) leased(t *state, lease int64) bool {
	for _, k := range x.nodeKeys {
		if t.etcd.kvs[k].create == lease {
			return true
		}
	}
	return lease == 0
}
