package sim

import (
	"strconv"
	"time"

	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/span"
)

// stage is where a span is between two owners.
type stage uint8

const (
	// waiting for a node: nobody owns it, and nothing is asked of anybody.
	waiting stage = iota
	opening
	running
	// closing: still owned, by a node that takes part in an operator.
	closing
	// lost: its node is dead, and nobody has noticed.
	lost
	// replaced by what it was split or merged into.
	replaced
)

// cause is what an operator is counted as.
type cause uint8

const (
	byNobody cause = iota
	// byStart is the opening of a new span, byFailover of one whose node was lost, byRetry of one that could not be opened
	// elsewhere.
	byStart
	byFailover
	byRetry
	byDrain
	byBalance
	bySplit
	byMerge
	// byParent is the opening of what a split or merge has made.
	byParent

	causes
)

// class is the one whose budget the planners count an operator in.
func (c cause) class() scheduler.Class {
	switch c {
	case byDrain:
		return scheduler.ClassDrain
	case byBalance:
		return scheduler.ClassBalance
	case bySplit, byMerge:
		return scheduler.ClassReshape
	case byFailover, byRetry, byParent:
		return scheduler.ClassFailover
	case byStart:
		return scheduler.ClassUser
	default:
		return 0
	}
}

// spanState is a span as it really is.
type spanState struct {
	id  span.ID
	ks  *keyspace
	rng span.Range
	// base is its load without the curve of its keyspace, load what it tells, size what it holds.
	base, load, size float64

	// node that owns it. An operator in flight takes it from one node to another.
	node, from, to *node
	stage          stage
	// cause of the operator in flight, next that of the one to come: the span is in the queue of the leader.
	cause, next cause
	hung        bool
	failures    uint8
	// pos is its place in the list of its node, member that in the list of its keyspace.
	pos, member int32
	// epoch tells what was meant for it before something else has happened to it.
	epoch uint32
	// since it has been on its node, made when it was made; unownedFrom counts while nobody acts on it.
	since, made, unownedFrom time.Duration
	// last is the node that was lost with it.
	last *node
	// failedOn is where it failed to open last, why what keeps it from being placed.
	failedOn *node
	why      string
	// merge that it is part of.
	merge *merging
}

func (s *spanState) ref() operator.Ref { return operator.Ref{Keyspace: s.ks.Name, ID: s.id} }

// owned: somebody acts on it.
func (s *spanState) owned() bool { return s.stage == running || s.stage == closing }

// idOf numbers spans; numberOf is the way back.
func idOf(n int) span.ID { return span.ID("s" + strconv.Itoa(n)) }

func numberOf(id span.ID) int {
	n, err := strconv.Atoi(string(id[1:]))
	if err != nil {
		return -1
	}
	return n
}

// node as it really is.
type node struct {
	name     string
	labels   map[string]string
	capacity int
	weight   float64
	// up: its process runs. present: its session has not ended, as far as anybody knows.
	up, present bool
	session     int64

	cordoned, draining bool
	// hangs is how many of the next openings do not end.
	hangs int
	// spans that it owns, or owned when it died; coming are those that it opens.
	spans, coming list
	load          float64
	// drains that empty it in flight, and openings that it was asked for, by class. failing counts spans that failed to open
	// here last.
	drains  int
	asked   [scheduler.ClassReshape + 1]int
	failing int
	// told is what the planners know to stand against it.
	told string
	// seen is since when its session is there.
	seen time.Duration
}

// expect and forget a span that it opens.
func (n *node) expect(s *spanState) {
	n.coming.add(s)
	n.asked[s.cause.class()]++
}

func (n *node) forget(s *spanState) {
	n.coming.remove(s)
	n.asked[s.cause.class()]--
}

// takes new spans.
func (n *node) takes() bool { return n.present && n.up && !n.cordoned && !n.draining }

func (n *node) why() string {
	switch {
	case n.draining:
		return "draining"
	case n.cordoned:
		return "cordoned"
	}
	return ""
}

// list of spans, each in one list at most. The order is that of coming and going.
type list []*spanState

func (l *list) add(s *spanState) {
	s.pos = int32(len(*l)) //nolint:gosec // maxSpans is less
	*l = append(*l, s)
}

func (l *list) remove(s *spanState) {
	last := len(*l) - 1
	moved := (*l)[last]
	(*l)[s.pos] = moved
	moved.pos = s.pos
	(*l)[last] = nil
	*l = (*l)[:last]
}

// keyspace as it really is.
type keyspace struct {
	*Keyspace
	rules  *scheduler.Rules
	values settings.Values
	// load may have been changed since the start, and since is when.
	load  Load
	since time.Duration
	// factor of the curve, as it was told last.
	factor  float64
	members []*spanState
	// owed is the part of a span that is left to change.
	owed float64
}

func (k *keyspace) add(s *spanState) {
	s.member = int32(len(k.members)) //nolint:gosec // maxSpans is less
	k.members = append(k.members, s)
}

func (k *keyspace) remove(s *spanState) {
	last := len(k.members) - 1
	moved := k.members[last]
	k.members[s.member] = moved
	moved.member = s.member
	k.members[last] = nil
	k.members = k.members[:last]
}

// splits reports whether spans of the keyspace are ever split.
func (k *keyspace) splits() bool { return k.values.SplitLoad > 0 || k.values.SplitSize > 0 }
