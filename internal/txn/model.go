package txn

import (
	"errors"
	"slices"
	"strings"

	"github.com/tidwall/btree"
)

// ErrLease is the answer of a Store to a leased put whose lease is gone. Nothing of the batch was done.
var ErrLease = errors.New("lease not found")

// Store is a model of etcd for tests and model checks: what internal/etcdx does to a real server, this does to a
// value. A property test holds the two against each other.
//
// The zero Store is not usable; see NewStore. It is not safe for concurrent use, but clones are independent.
type Store struct {
	revision int64
	records  btree.Map[string, KV]
	leases   btree.Map[int64, bool]
	history  []Revision
}

// Revision is all that changed at one revision, in the order in which etcd would report it.
type Revision struct {
	Rev     int64
	Changes []Change
}

// Change is one key put or deleted. A deletion has no value.
type Change struct {
	Key     string
	Deleted bool
	KV      KV
}

// NewStore is an empty store at the revision of a new etcd.
func NewStore() *Store { return NewStoreAt(1) }

// NewStoreAt is an empty store at a revision, for comparisons with an etcd that has a past.
func NewStoreAt(revision int64) *Store { return &Store{revision: revision} }

// Clone is an independent copy. It takes constant time.
func (s *Store) Clone() *Store {
	return &Store{
		revision: s.revision, records: *s.records.Copy(), leases: *s.leases.Copy(),
		history: slices.Clip(s.history),
	}
}

// Revision is that of the last change.
func (s *Store) Revision() int64 { return s.revision }

// History is every change since the store was made, oldest first.
func (s *Store) History() []Revision { return s.history }

// Get reads one key.
func (s *Store) Get(key string) (KV, bool) {
	kv, ok := s.records.Get(key)
	kv.Revision = s.revision
	return kv, ok
}

// Scan calls f with every key that has the prefix, in order, until f returns false.
func (s *Store) Scan(prefix string, f func(key string, kv KV) bool) {
	s.records.Ascend(prefix, func(key string, kv KV) bool {
		kv.Revision = s.revision
		return strings.HasPrefix(key, prefix) && f(key, kv)
	})
}

// Grant makes a lease. It never expires by itself.
func (s *Store) Grant(lease int64) { s.leases.Set(lease, true) }

// Expire ends a lease, or revokes it: its keys are deleted in one revision.
func (s *Store) Expire(lease int64) {
	s.leases.Delete(lease)
	var doomed []Op
	s.records.Scan(func(key string, kv KV) bool {
		if kv.Lease == lease && lease != 0 {
			doomed = append(doomed, Delete(key))
		}
		return true
	})
	s.write(doomed, 0)
}

// Apply carries out a batch for the holder of lease, 0 for none.
func (s *Store) Apply(lease int64, b Batch) ([]Result, error) {
	out := make([]Result, len(b.Parts))
	if !s.holds(b.Outer) {
		f := s.read(b.Outer, nil)
		for i := range out {
			out[i] = Result{Outcome: Fenced, Revision: s.revision, Found: f}
		}
		return out, nil
	}
	for i, p := range b.Parts { // all compares see the state before the batch
		if s.holds(p.If) {
			out[i].Outcome = Done
		}
	}
	if err := s.checkLease(lease, b, out); err != nil {
		return nil, err
	}
	s.carryOut(lease, b, out)
	return out, nil
}

// carryOut does the parts that are marked done, and reads for the others: in order, so that a read sees what
// parts before it have written.
func (s *Store) carryOut(lease int64, b Batch, out []Result) {
	var changes []Change
	for i, p := range b.Parts {
		if out[i].Outcome == Done {
			changes = append(changes, s.changes(p.Then, lease)...)
		} else {
			out[i].Found = s.read(p.If, p.Witness)
		}
	}
	s.commit(changes)
	for i := range out {
		out[i].Revision = s.revision
		for key, kv := range out[i].Found {
			kv.Revision = s.revision
			out[i].Found[key] = kv
		}
	}
}

func (s *Store) write(ops []Op, lease int64) { s.commit(s.changes(ops, lease)) }

func (s *Store) commit(changes []Change) {
	if len(changes) == 0 {
		return // deleting what is not there is no revision
	}
	s.revision++
	s.history = append(s.history, Revision{Rev: s.revision, Changes: changes})
}

// changes writes ops at the revision that is about to be made.
func (s *Store) changes(ops []Op, lease int64) []Change {
	var out []Change
	for _, op := range ops {
		next := KV{Value: op.Value, Mod: s.revision + 1, Create: s.revision + 1, Version: 1}
		old, exists := s.records.Get(op.Key)
		switch {
		case op.Delete && !exists:
			continue
		case op.Delete:
			s.records.Delete(op.Key)
			out = append(out, Change{Key: op.Key, Deleted: true, KV: KV{Mod: s.revision + 1}})
			continue
		case exists:
			next.Create, next.Version = old.Create, old.Version+1
		}
		if op.Leased {
			next.Lease = lease
		}
		s.records.Set(op.Key, next)
		out = append(out, Change{Key: op.Key, KV: next})
	}
	return out
}

func (s *Store) checkLease(lease int64, b Batch, out []Result) error {
	if _, live := s.leases.Get(lease); live || lease == 0 {
		return nil
	}
	for i, p := range b.Parts {
		if out[i].Outcome == Done && slices.ContainsFunc(p.Then, func(op Op) bool { return op.Leased && !op.Delete }) {
			return ErrLease
		}
	}
	return nil
}

func (s *Store) holds(list []Cmp) bool {
	for _, c := range list {
		kv, _ := s.records.Get(c.Key) // an absent key has revisions 0
		if c.By == ByCreate && kv.Create != c.Rev || c.By != ByCreate && kv.Mod != c.Rev {
			return false
		}
	}
	return true
}

func (s *Store) read(compared []Cmp, witness []string) Found {
	f := Found{}
	for _, c := range compared {
		s.readKey(f, c.Key)
	}
	for _, key := range witness {
		s.readKey(f, key)
	}
	return f
}

func (s *Store) readKey(f Found, key string) {
	if kv, ok := s.Get(key); ok {
		f[key] = kv
	}
}
