package audit

import (
	"cmp"

	"github.com/tidwall/btree"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// rec is one key as it stands. A value that cannot be decoded leaves the last one that could in place, marked bad: the
// record is still there, and nothing is concluded from it until it can be read again.
type rec[T any] struct {
	value              T
	known, bad         bool
	create, mod, lease int64
}

// good says that there is a record that can be read.
func (r *rec[T]) good() bool { return r != nil && r.known && !r.bad }

// revise is the record after a change; nil without an error is what a deletion leaves.
func revise[T any](before *rec[T], c Change, decode func([]byte) (T, error)) (*rec[T], error) {
	if c.Deleted {
		return nil, nil
	}
	after := &rec[T]{create: c.Create, mod: c.Mod, lease: c.Lease}
	v, err := decode(c.Value)
	switch {
	case err == nil:
		after.value, after.known = v, true
	case before != nil:
		after.value, after.known, after.bad = before.value, before.known, true
	default:
		after.bad = true
	}
	return after, err
}

// opRef names a history entry, bucketRef a progress record, request a request id.
type (
	opRef     struct{ keyspace, operator string }
	request   struct{ keyspace, id string }
	bucketRef struct {
		keyspace string
		bucket   uint32
	}
)

// single is the key of tables with one record.
type single struct{}

// state is everything stored at one revision, and what follows from it.
type state struct {
	leader    map[single]*rec[record.Leader]
	cluster   map[single]*rec[record.Cluster]
	nodes     map[string]*rec[record.Node]
	keyspaces map[string]*rec[record.Keyspace]
	spans     map[ref]*rec[record.Span]
	claims    map[ref]*rec[record.Claim]
	histories map[opRef]*rec[record.History]
	progress  map[bucketRef]*rec[record.Progress]

	// entries are the positions of all progress records.
	entries map[ref]record.Position
	// ids says in which keyspace a span id is in use.
	ids map[span.ID]string
	// order has the spans of each keyspace by range.
	order map[string]*btree.BTreeG[placed]
	// tokens has the highest token of each key, and the session that had it.
	tokens map[string]*highest[int64]
	// carriers are the span records that carry an operator.
	carriers map[opRef]map[span.ID]struct{}
	requests map[request]*asked
	// trimmed are operators whose history went, gone the ids of spans that went.
	trimmed recent[opRef]
	gone    recent[span.ID]
}

// placed is a span in the order of ranges.
type placed struct {
	span.Range
	id span.ID
}

// asked is what a request id stands for, and how many records say so.
type asked struct {
	operator string
	body     string
	holders  int
}

func newState() *state {
	return &state{
		leader: map[single]*rec[record.Leader]{}, cluster: map[single]*rec[record.Cluster]{},
		nodes: map[string]*rec[record.Node]{}, keyspaces: map[string]*rec[record.Keyspace]{},
		spans: map[ref]*rec[record.Span]{}, claims: map[ref]*rec[record.Claim]{},
		histories: map[opRef]*rec[record.History]{}, progress: map[bucketRef]*rec[record.Progress]{},
		entries: map[ref]record.Position{}, ids: map[span.ID]string{},
		order: map[string]*btree.BTreeG[placed]{}, tokens: map[string]*highest[int64]{},
		carriers: map[opRef]map[span.ID]struct{}{}, requests: map[request]*asked{},
	}
}

// present says that the session of the node is there: its key, created at that revision.
func (st *state) present(node string, session int64) bool {
	n := st.nodes[node]
	return n != nil && session != 0 && n.create == session
}

// ownerPresent says that the recorded owner's session is there.
func (st *state) ownerPresent(o record.Owner) bool {
	return !o.Nobody() && st.present(o.Node, o.Session)
}

func (st *state) generation() uint64 {
	if c := st.cluster[single{}]; c != nil {
		return c.value.Generation
	}
	return 0
}

// term is the revision of the leader key, 0 if nobody leads.
func (st *state) term() int64 {
	l := st.leader[single{}]
	if l == nil || l.value.Resigned {
		return 0
	}
	return l.mod
}

// durable is the position that is known to be durable: of the record or of its progress entry.
func (st *state) durable(r ref) record.Position {
	at := st.entries[r]
	if s := st.spans[r]; s != nil {
		return s.value.Checkpoint.Max(at)
	}
	return at
}

// orderOf has the spans of the keyspace by range.
func (st *state) orderOf(keyspace string) *btree.BTreeG[placed] {
	if st.order[keyspace] == nil {
		st.order[keyspace] = btree.NewBTreeGOptions(func(a, b placed) bool {
			return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(a.id, b.id)) < 0
		}, btree.Options{NoLocks: true})
	}
	return st.order[keyspace]
}

func (st *state) tokensOf(keyspace string) *highest[int64] {
	if st.tokens[keyspace] == nil {
		st.tokens[keyspace] = newHighest[int64]()
	}
	return st.tokens[keyspace]
}
