package etcdx

import "github.com/spanward/spanward/internal/txn"

const (
	// MaxParts is the most parts in one batch, which keeps the time that etcd spends on it, and the damage of a lost
	// answer, small.
	MaxParts = 100
	// maxTxnOps is etcd's default --max-txn-ops. At each depth the larger of compares and operations counts, and
	// nested transactions may use what the outer one leaves of it.
	maxTxnOps = 128
	// maxBatchBytes stays below etcd's limit of a request, 1.5 MiB, with room for what cannot be counted here.
	maxBatchBytes = 1 << 20
	// opBytes is what a compare, a get, a put or a delete needs beside its key and value.
	opBytes = 24
)

// Chunk splits parts into batches that etcd takes, with the same outer compares. The order stays: the results of all
// batches, one after the other, are those of parts. No key is written twice in a batch, since etcd refuses that; parts
// that write the same key land in order, if the batches are sent in order.
//
// A part that no transaction can hold is in a batch of its own, for etcd to refuse.
func Chunk(outer []txn.Cmp, parts []txn.Part) []txn.Batch {
	var batches []txn.Batch
	c := chunk{outer: outer}
	for _, p := range parts {
		if len(c.parts) > 0 && !c.fits(p) {
			batches = append(batches, c.batch())
			c = chunk{outer: outer}
		}
		c.add(p)
	}
	if len(c.parts) > 0 {
		batches = append(batches, c.batch())
	}
	return batches
}

// chunk is a batch that grows.
type chunk struct {
	outer   []txn.Cmp
	parts   []txn.Part
	widest  int
	bytes   int
	written map[string]bool
}

func (c *chunk) batch() txn.Batch { return txn.Batch{Outer: c.outer, Parts: c.parts} }

func (c *chunk) fits(p txn.Part) bool {
	n := len(c.parts) + 1
	if n > MaxParts || max(n, len(c.outer))+max(c.widest, width(p)) > maxTxnOps || c.bytes+size(p) > maxBatchBytes {
		return false
	}
	for _, op := range p.Then {
		if c.written[op.Key] {
			return false
		}
	}
	return true
}

func (c *chunk) add(p txn.Part) {
	if c.written == nil {
		c.written = make(map[string]bool)
		c.bytes = comparesSize(c.outer)
	}
	c.parts = append(c.parts, p)
	c.widest = max(c.widest, width(p))
	c.bytes += size(p)
	for _, op := range p.Then {
		c.written[op.Key] = true
	}
}

// width is what etcd counts for a part.
func width(p txn.Part) int { return max(len(p.If), len(p.Then), len(explaining(p))) }

func size(p txn.Part) int {
	n := opBytes + comparesSize(p.If)
	for _, key := range explaining(p) {
		n += opBytes + len(key)
	}
	for _, op := range p.Then {
		n += opBytes + len(op.Key) + len(op.Value)
	}
	return n
}

func comparesSize(list []txn.Cmp) int {
	n := 0
	for _, c := range list {
		n += opBytes + 2*len(c.Key) // compared, and read by the refusal
	}
	return n
}
