package scheduler

import "math"

// reshapeOp is a split or a merge, from when it is planned until its last span is gone or well again.
type reshapeOp struct {
	keyspace *reshapedKeyspace
	node     string
	// more is how many spans more there will be once it is done.
	more int
	// spans that take part, and flying those on which it is in flight as far as is known.
	spans, flying int
}

// fly notes a plan as being in flight.
func (f *Fleet) fly(op *reshapeOp, group ...*item) {
	for _, it := range group {
		f.reshape.letRest(it)
		f.reshape.join(it, op)
		s := it.Span
		s.Flight = Flight{Class: ClassReshape, From: s.Node}
		f.SetSpan(s)
	}
}

// track follows what is in flight on a span. One that nobody planned here is taken for a split into as many as there may be:
// it is not known what it is. It counts as one of the splits and merges in flight for each span.
//
// As long as a span is not settled it is not certain that nothing becomes of a plan: it takes no room from others, but what
// it would make goes on to be counted.
func (r *reshaper) track(it *item) {
	ours := it.Flight.Class == ClassReshape
	switch {
	case ours && it.op == nil:
		r.join(it, &reshapeOp{keyspace: it.keyspace, node: it.Node, more: maxParts - 1})
	case !ours && it.op != nil && (it.Flight.Class != 0 || it.Settled && it.Flight == Flight{}):
		r.leave(it)
	}
	r.count(it, ours)
}

// count has a span count as one on which its operator is in flight, or not.
func (r *reshaper) count(it *item, flying bool) {
	if it.op == nil || it.flying == flying {
		return
	}
	it.flying = flying
	if flying {
		if it.op.flying++; it.op.flying == 1 {
			r.inFlight++
		}
		return
	}
	if it.op.flying--; it.op.flying == 0 {
		r.inFlight--
	}
}

func (r *reshaper) join(it *item, op *reshapeOp) {
	r.leave(it)
	it.op = op
	if op.spans++; op.spans == 1 {
		r.expect(op, op.more)
	}
}

func (r *reshaper) leave(it *item) {
	op := it.op
	if op == nil {
		return
	}
	r.count(it, false)
	it.op = nil
	if op.spans--; op.spans == 0 {
		r.expect(op, -op.more)
	}
}

// expect counts spans that a split will make.
func (r *reshaper) expect(op *reshapeOp, more int) {
	if more == 0 {
		return
	}
	op.keyspace.coming += more
	if r.coming == nil {
		r.coming = map[string]int{}
	}
	if r.coming[op.node] += more; r.coming[op.node] == 0 {
		delete(r.coming, op.node)
	}
}

// reshapeRoom is how many more splits and merges may be in flight.
func (f *Fleet) reshapeRoom() int {
	if f.reshapeInFlight == 0 {
		return math.MaxInt
	}
	return f.reshapeInFlight - f.reshape.inFlight
}

// ready: something could be planned now.
func (r *reshaper) ready() bool {
	if r.mergeable.Len() > 0 {
		return true
	}
	found := false
	r.splittable.Scan(func(_ string, ks *reshapedKeyspace) bool {
		found = ks.room() > 0
		return !found
	})
	return found
}
