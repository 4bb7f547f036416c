package maintainer

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/spanward/spanward/internal/txn"
)

// term is one leadership of this process, as the control API and the loop share it. Everything it writes compares
// its number, so a term that is over can do no harm, only be refused.
type term struct {
	number int64
	// over ends with the term.
	over context.Context //nolint:containedctx // a term is a scope: whoever holds it must know when it ends
	seq  atomic.Int64
	// write sends parts in batches under the term and settles every outcome. Results are in the order of parts.
	write func(ctx context.Context, parts []txn.Part) ([]txn.Result, error)
	// revoke has somebody asked to end an operator early; false if the term is over.
	revoke func(*revocation) bool
	// ask has the loop do something soon; false if the term is over.
	ask func(func(*loop)) bool
	// known is what the term has heard that is not in etcd.
	known *known
}

// nextOperator chooses an operator id before its first write: terms never repeat, so neither do ids.
func (t *term) nextOperator() string {
	return fmt.Sprintf("%d-%d", t.number, t.seq.Add(1))
}
