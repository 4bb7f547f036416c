package operator

import "github.com/spanward/spanward/internal/record"

// Durable is the position that a span opens at: the highest that is known to be durable.
func Durable(s record.Span, progress record.Position) record.Position {
	return s.Checkpoint.Max(progress)
}

// Lowest is a keyspace's checkpoint: the minimum over all its spans, ownerless ones included. It is unknown as
// long as one of them is.
func Lowest(ps []record.Position) record.Position {
	if len(ps) == 0 {
		return record.Position{}
	}
	low := ps[0]
	for _, p := range ps[1:] {
		low = low.Min(p)
	}
	return low
}
