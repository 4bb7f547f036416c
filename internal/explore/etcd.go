package explore

import (
	"fmt"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
)

// value is a stored value and what it decodes to. Equal bytes are one value.
type value struct {
	raw   []byte
	span  *record.Span
	claim *record.Claim
	ended *record.History
}

// kv is one key of the store; val is nil if it is absent.
type kv struct {
	val              *value
	mod, create, own int64 // own is the lease, 0 for none
}

// store is a model of etcd over a fixed set of keys: a value, cheap to copy. A test holds it against txn.Store, and
// that one is held against etcd.
type store struct {
	rev int64
	kvs [maxKeys]kv
}

// maxKeys bounds the keys of a configuration.
const maxKeys = 24

// space knows the keys by number, and every value ever stored.
type space struct {
	ids    map[string]int
	names  []string
	kinds  []keyKind
	values map[string]*value
}

type keyKind uint8

const (
	kindLeader keyKind = iota
	kindNode
	kindSpan
	kindClaim
	kindHistory
)

func newSpace() *space { return &space{ids: map[string]int{}, values: map[string]*value{}} }

func (p *space) add(key string, k keyKind) int {
	id := len(p.names)
	if id == maxKeys {
		panic("explore: a configuration with too many keys")
	}
	p.ids[key], p.names, p.kinds = id, append(p.names, key), append(p.kinds, k)
	return id
}

func (p *space) id(key string) int {
	id, ok := p.ids[key]
	if !ok {
		panic(fmt.Sprintf("explore: no configuration has key %s", key))
	}
	return id
}

// intern returns the value of the bytes under a key of kind k.
func (p *space) intern(k keyKind, raw []byte) *value {
	if v, ok := p.values[string(raw)]; ok && v.fits(k) {
		return v
	}
	v := &value{raw: raw}
	var err error
	switch k {
	case kindSpan:
		v.span, err = decoded(record.DecodeSpan(raw))
	case kindClaim:
		v.claim, err = decoded(record.DecodeClaim(raw))
	case kindHistory:
		v.ended, err = decoded(record.DecodeHistory(raw))
	default:
	}
	if err != nil {
		panic(fmt.Sprintf("explore: a record that nobody can read was written: %v", err))
	}
	p.values[string(raw)] = v
	return v
}

func decoded[T any](v T, err error) (*T, error) { return &v, err }

func (v *value) fits(k keyKind) bool {
	switch k {
	case kindSpan:
		return v.span != nil
	case kindClaim:
		return v.claim != nil
	case kindHistory:
		return v.ended != nil
	default:
		return true
	}
}

// holds reports whether all compares do.
func (p *space) holds(s *store, list []txn.Cmp) bool {
	for _, c := range list {
		e := &s.kvs[p.id(c.Key)]
		at := e.mod
		if c.By == txn.ByCreate {
			at = e.create
		}
		if at != c.Rev {
			return false
		}
	}
	return true
}

// never reports that a compare fails now and will for ever, since revisions only grow.
func (p *space) never(s *store, list []txn.Cmp) bool {
	for _, c := range list {
		e := &s.kvs[p.id(c.Key)]
		if c.Rev != 0 && (c.By == txn.ByCreate && e.create != c.Rev || c.By != txn.ByCreate && e.mod != c.Rev) {
			return true
		}
	}
	return false
}

// write carries ops out in one revision.
func (p *space) write(s *store, ops []txn.Op, lease int64) {
	next, changed := s.rev+1, false
	for _, op := range ops {
		id := p.id(op.Key)
		e := &s.kvs[id]
		if op.Delete {
			changed = changed || e.val != nil
			*e = kv{}
			continue
		}
		changed = true
		if e.val == nil {
			e.create = next
		}
		e.val, e.mod, e.own = p.intern(p.kinds[id], op.Value), next, 0
		if op.Leased {
			e.own = lease
		}
	}
	if changed {
		s.rev = next
	}
}

// expire deletes all keys of a lease in one revision.
func (s *store) expire(lease int64) {
	changed := false
	for i := range s.kvs {
		if s.kvs[i].val != nil && s.kvs[i].own == lease {
			s.kvs[i], changed = kv{}, true
		}
	}
	if changed {
		s.rev++
	}
}

// found reads what a refusal reads.
func (p *space) found(s *store, compared []txn.Cmp, witness []string) txn.Found {
	f := txn.Found{}
	for _, c := range compared {
		p.read(s, f, c.Key)
	}
	for _, key := range witness {
		p.read(s, f, key)
	}
	return f
}

func (p *space) read(s *store, f txn.Found, key string) {
	if e := s.kvs[p.id(key)]; e.val != nil {
		f[key] = txn.KV{Value: e.val.raw, Mod: e.mod, Create: e.create, Lease: e.own, Revision: s.rev}
	}
}
