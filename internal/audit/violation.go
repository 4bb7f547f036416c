package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/spanward/spanward/span"
)

// The stable names of the invariants, as they are printed by `spanward check`.
const (
	// Coverage: spans of a keyspace never overlap, and only add and remove change what they cover.
	Coverage = "coverage"
	// OneOwner: an owner is replaced only after it let go or its session was over, by the one that claimed.
	OneOwner = "one_owner"
	// OneOperator: operators in flight cover disjoint ranges, and the members of a merge change together.
	OneOperator = "one_operator"
	// Fencing: claims and leader writes compare what they must.
	Fencing = "fencing"
	// NoLoss: an accepted operator is an intent or a history entry at every later revision, and only one of them.
	NoLoss = "no_loss"
	// AtMostOnce: one request id is one operator.
	AtMostOnce = "at_most_once"
	// Monotone: tokens, checkpoints and generations never go back.
	Monotone = "monotone"
	// UniqueIDs: the id of a span is never used again.
	UniqueIDs = "unique_ids"
	// NoResidue: nothing in a settled cluster names a session that is over.
	NoResidue = "no_residue"
	// Ends: nothing is in flight in a settled cluster.
	Ends = "ends"
)

// Violation is one invariant that was false at one revision. Keyspace and Span are empty where they do not apply.
type Violation struct {
	Invariant string
	Keyspace  string
	Span      string
	Revision  int64
	Message   string
}

func (v Violation) String() string {
	return fmt.Sprintf("revision %d: %s: keyspace %q span %q: %s", v.Revision, v.Invariant, v.Keyspace, v.Span, v.Message)
}

func (v Violation) compare(o Violation) int {
	return cmp.Or(
		cmp.Compare(v.Revision, o.Revision), cmp.Compare(v.Keyspace, o.Keyspace), cmp.Compare(v.Span, o.Span),
		cmp.Compare(v.Invariant, o.Invariant), cmp.Compare(v.Message, o.Message),
	)
}

// Problem is a key under the cluster's prefix whose present value cannot be understood.
type Problem struct {
	Key      string
	Keyspace string
	Span     string
	Revision int64
	Message  string
}

// maxViolations bounds what is kept of a history that is broken throughout.
const maxViolations = 1000

// findings collects violations up to a limit.
type findings struct {
	kept []Violation
	more int
}

func (f *findings) add(vs []Violation) {
	slices.SortFunc(vs, Violation.compare)
	for _, v := range slices.Compact(vs) {
		if len(f.kept) >= maxViolations {
			f.more++
			continue
		}
		f.kept = append(f.kept, v)
	}
}

// ref names a span.
type ref struct {
	keyspace string
	id       span.ID
}
