package operator

import (
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// Ref names a span.
type Ref struct {
	Keyspace string
	ID       span.ID
}

// Span is a span record as it was read: the value, and the mod revision that a plan is made on.
type Span struct {
	Ref
	record.Span
	Mod int64
}

// Claim is a claim as it was read.
type Claim struct {
	record.Claim
	Mod int64
}

// Keyspace is a keyspace record as it was read.
type Keyspace struct {
	record.Keyspace
	Name string
	Mod  int64
}

// Identity is the session that sends a transaction.
type Identity struct {
	Node    string
	Session int64
}

// Owns reports whether the record names the session as the owner.
func (i Identity) Owns(s record.Span) bool { return s.Owner.Session == i.Session }
