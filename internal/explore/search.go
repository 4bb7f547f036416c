package explore

import (
	"fmt"
	"hash/maphash"
	"time"
)

// hash identifies a canonical state. Two maphashes make a collision unlikelier than a broken machine.
type hash struct{ a, b uint64 }

// search is a breadth first search. Of a visited state only its hash is kept, and how it was reached.
type search struct {
	x      *explorer
	coder  coder
	seeds  [2]maphash.Seed
	seen   map[hash]int32
	queue  []*state // nil once expanded
	parent []int32
	ord    []uint16 // the number of the successor of the parent
	depth  []uint16
	clean  []bool
	// edges are those without a fault, by source: of state i, edges[first[i]:first[i+1]].
	edges []int32
	first []int
	count int
}

// Run explores a configuration.
func Run(cfg Config) Result {
	began := time.Now()
	x := newExplorer(cfg)
	s := &search{
		x: x, coder: coder{x: x}, seen: map[hash]int32{},
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
	r := s.run()
	r.States, r.Transitions, r.Time = len(s.queue), s.count, time.Since(began)
	if n := len(s.depth); n > 0 {
		r.Depth = int(s.depth[n-1])
	}
	for _, c := range s.clean {
		if c {
			r.Clean++
		}
	}
	return r
}

func (s *search) run() (r Result) {
	x := s.x
	fail := func(what string, i int32, last int) Result {
		r.Violation = &Violation{What: what, Trace: s.trace(i, last), After: len(s.queue)}
		return r
	}
	s.visit(x.initial(), -1, 0)
	for i := int32(0); int(i) < len(s.queue); i++ {
		from := s.queue[i]
		s.queue[i] = nil
		s.first = append(s.first, len(s.edges))
		ord, bad, badAt := 0, "", 0
		x.emit = func(t *state, fault bool) {
			ord++
			s.count++
			x.tidy(t)
			if bad != "" {
				return
			}
			j, added := s.visit(t, i, ord-1)
			if added {
				if bad = x.check(t); bad != "" {
					badAt = ord - 1
				}
			} else if t.bad != "" {
				bad, badAt = t.bad, ord-1
			}
			if !fault {
				s.edges = append(s.edges, j)
			}
		}
		x.successors(from)
		if bad != "" {
			return fail(bad, i, badAt)
		}
		if x.cfg.MaxStates > 0 && len(s.queue) >= x.cfg.MaxStates {
			r.Truncated = true
			return r
		}
	}
	s.first = append(s.first, len(s.edges))
	if stuck, n := s.stuck(); stuck >= 0 {
		return fail(fmt.Sprintf("from here, and from %d states in all, no clean state can be reached", n), stuck, -1)
	}
	return r
}

// visit returns the number of a state, and whether it is new.
func (s *search) visit(t *state, parent int32, ord int) (int32, bool) {
	b := s.coder.encode(t)
	h := hash{maphash.Bytes(s.seeds[0], b), maphash.Bytes(s.seeds[1], b)}
	if j, ok := s.seen[h]; ok {
		return j, false
	}
	j := int32(len(s.queue))
	s.seen[h] = j
	c := *t
	s.queue = append(s.queue, &c)
	s.parent, s.ord = append(s.parent, parent), append(s.ord, uint16(ord))
	d := uint16(0)
	if parent >= 0 {
		d = s.depth[parent] + 1
	}
	s.depth, s.clean = append(s.depth, d), append(s.clean, s.x.clean(t))
	return j, true
}

// stuck finds the first state from which no clean one can be reached without a fault, and how many there are.
func (s *search) stuck() (first int32, n int) {
	back, start := s.reversed()
	ok := make([]bool, len(s.queue))
	var todo []int32
	for i, c := range s.clean {
		if c {
			ok[i] = true
			todo = append(todo, int32(i))
		}
	}
	for len(todo) > 0 {
		i := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		for _, j := range back[start[i]:start[i+1]] {
			if !ok[j] {
				ok[j] = true
				todo = append(todo, j)
			}
		}
	}
	first = -1
	for i, good := range ok {
		if !good {
			if n++; first < 0 {
				first = int32(i)
			}
		}
	}
	return first, n
}

// reversed turns the edges around: back[start[i]:start[i+1]] lead to i.
func (s *search) reversed() (back []int32, start []int) {
	start = make([]int, len(s.queue)+1)
	for _, j := range s.edges {
		start[j+1]++
	}
	for i := range s.queue {
		start[i+1] += start[i]
	}
	next := append([]int(nil), start...)
	back = make([]int32, len(s.edges))
	for i := range s.queue {
		for _, j := range s.edges[s.first[i]:s.first[i+1]] {
			back[next[j]] = int32(i)
			next[j]++
		}
	}
	return back, start
}

// trace tells how state i was reached, by walking there again, and its successor number last if that is not negative.
func (s *search) trace(i int32, last int) []string {
	x := s.x
	var ords []int
	for j := i; j > 0; j = s.parent[j] {
		ords = append(ords, int(s.ord[j]))
	}
	var lines []string
	at := x.initial()
	x.tidy(at)
	x.tracing = true
	step := func(n int) {
		k, from := 0, at
		x.emit = func(t *state, _ bool) {
			if k == n {
				c := *t
				x.tidy(&c)
				at = &c
				lines = append(lines, x.label)
			}
			k++
		}
		x.successors(from)
	}
	for n := len(ords) - 1; n >= 0; n-- {
		step(ords[n])
	}
	if last >= 0 {
		step(last)
	}
	x.tracing = false
	return append(lines, x.show(at)...)
}
