package dispatcher

import (
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// says is what the leader has not been told yet. It holds one entry for each span, and one answer for each operator that
// one was about, so a slow or absent leader costs no memory; what it misses in between is in etcd.
type says struct {
	// revision up to which the session knows its own records: all it has written up to there is in the actors.
	revision int64
	// dirty are spans whose status is not what the leader knows, gone those that he does not know to have ended.
	dirty map[operator.Ref]struct{}
	gone  map[operator.Ref]struct{}
	// later are spans of which only the position is not what the leader knows. A thousand idle spans of a source that
	// others write to have a new one all the time, and nobody decides anything by it; so they wait, since swept.
	later   map[operator.Ref]struct{}
	swept   time.Time
	results map[asked]*sessionv1.StageResult
	// order is that of the results.
	order []asked
	// unsure are the results of the last report: if the stream breaks now it may not have arrived.
	unsure []*sessionv1.StageResult
	// urgent: more has changed than a checkpoint, or the session was renewed.
	urgent bool
	// last is when something was said.
	last time.Time
	// reader waits for the next report.
	reader *pull
}

// asked is what an answer is about: an operator on a span, "" for a placement.
type asked struct {
	ref      operator.Ref
	operator string
}

// pull asks for one report, when there is something to say.
type pull struct {
	// full asks for everything: it is the first report on a stream.
	full bool
	// revision up to which nothing that the session has sent is unknown, 0 if that was not found out.
	revision int64
	// reply has room for it.
	reply chan *sessionv1.Report
}

func newSays(revision int64) says {
	return says{
		revision: revision, dirty: map[operator.Ref]struct{}{}, gone: map[operator.Ref]struct{}{},
		later: map[operator.Ref]struct{}{}, results: map[asked]*sessionv1.StageResult{},
	}
}

// changed: there is a new status.
func (s *says) changed(e *entry) {
	switch {
	case e.told == nil || !alike(*e.told, e.status):
		s.dirty[e.ref] = struct{}{}
	case e.told.Checkpoint != e.status.Checkpoint:
		s.later[e.ref] = struct{}{}
	}
}

// moved: the actor is in another phase.
func (s *says) moved(r operator.Ref) {
	delete(s.gone, r)
	s.dirty[r] = struct{}{}
	s.urgent = true
}

// ended: nothing of the span runs here any more.
func (s *says) ended(r operator.Ref) {
	delete(s.dirty, r)
	delete(s.later, r)
	s.gone[r] = struct{}{}
	s.urgent = true
}

// result keeps the newest answer about an operator on a span. An operator that was cancelled and the opening that follows
// are two, so that the one does not cover up the other.
func (s *says) result(r operator.Ref, say operator.Say) {
	about := asked{r, say.Operator}
	if _, ok := s.results[about]; !ok {
		s.order = append(s.order, about)
	}
	s.results[about] = &sessionv1.StageResult{
		Keyspace: r.Keyspace, Span: string(r.ID), Operator: say.Operator,
		Result: sessionv1.StageResult_Result(say.Result), Error: say.Err, Holder: say.Holder,
	}
	s.urgent = true
	if len(s.order) > maxStageResults {
		delete(s.results, s.order[0])
		s.order = slices.Delete(s.order, 0, 1)
	}
}

func (s *says) pulled(p pull) {
	s.reader = &p
	s.revision = max(s.revision, p.revision)
	s.urgent = s.urgent || p.full
}

// speak answers the reader if there is something to say. It returns how long there is not.
func (l *loop) speak(now time.Time) time.Duration {
	s := &l.says
	if s.reader == nil {
		return idle
	}
	if rest := s.rest(now); rest > 0 {
		return rest
	}
	if now.Sub(s.swept) >= positionsEvery {
		maps.Copy(s.dirty, s.later)
		clear(s.later)
		s.swept = now
	}
	if s.reader.full {
		s.reader.reply <- l.full()
	} else {
		s.reader.reply <- l.delta()
	}
	s.reader, s.last = nil, now
	return idle
}

// rest is how long there is nothing to say.
func (s *says) rest(now time.Time) time.Duration {
	switch {
	case s.urgent:
		return 0
	case len(s.dirty) > 0:
		return statusEvery - now.Sub(s.last)
	case len(s.later) > 0:
		return positionsEvery - now.Sub(s.swept)
	}
	return idle
}

// full is everything, in one message however long: what is not in it does not run. Split keys follow.
func (l *loop) full() *sessionv1.Report {
	s := &l.says
	r := &sessionv1.Report{Full: true, Revision: s.revision, Spans: make([]*sessionv1.SpanStatus, 0, len(l.entries))}
	clear(s.dirty)
	clear(s.later)
	clear(s.gone)
	for ref, e := range l.entries {
		st := statusOf(e)
		e.tell()
		if len(st.SplitKeys) > 0 {
			st.SplitKeys = nil
			s.dirty[ref] = struct{}{}
		}
		r.Spans = append(r.Spans, st)
	}
	s.again()
	s.urgent = len(s.results) > 0
	return r
}

// again queues what the last stream may not have delivered, where nothing newer is there to be said.
func (s *says) again() {
	for _, r := range s.unsure {
		about := asked{operator.Ref{Keyspace: r.GetKeyspace(), ID: span.ID(r.GetSpan())}, r.GetOperator()}
		if _, ok := s.results[about]; !ok {
			s.results[about] = r
			s.order = append(s.order, about)
		}
	}
	s.unsure = nil
}

// delta is as much of what has changed as one message takes.
func (l *loop) delta() *sessionv1.Report {
	s := &l.says
	b := builder{report: &sessionv1.Report{Revision: s.revision}}
	for len(s.order) > 0 && b.result(s.results[s.order[0]]) {
		delete(s.results, s.order[0])
		s.order = s.order[1:]
	}
	s.unsure = b.report.Results
	for ref := range s.gone {
		if !b.span(&sessionv1.SpanStatus{Keyspace: ref.Keyspace, Span: string(ref.ID), State: sessionv1.SpanStatus_STATE_GONE}) {
			break
		}
		delete(s.gone, ref)
	}
	for ref := range s.dirty {
		if e := l.entries[ref]; e != nil {
			if !b.span(statusOf(e)) {
				break
			}
			e.tell()
		}
		delete(s.dirty, ref)
		delete(s.later, ref)
	}
	s.urgent = b.over
	return b.report
}

// builder fills one message up to its limits.
type builder struct {
	report *sessionv1.Report
	bytes  int
	// over: something did not fit.
	over bool
}

func (b *builder) span(s *sessionv1.SpanStatus) bool {
	if !b.fits(len(b.report.Spans), s) {
		return false
	}
	b.report.Spans = append(b.report.Spans, s)
	return true
}

func (b *builder) result(r *sessionv1.StageResult) bool {
	if !b.fits(len(b.report.Results), r) {
		return false
	}
	b.report.Results = append(b.report.Results, r)
	return true
}

func (b *builder) fits(have int, m proto.Message) bool {
	n := proto.Size(m)
	if b.over || have > 0 && (have >= maxReportSpans || b.bytes+n > maxReportBytes) {
		b.over = true
		return false
	}
	b.bytes += n
	return true
}

func statusOf(e *entry) *sessionv1.SpanStatus {
	s := &sessionv1.SpanStatus{
		Keyspace: e.ref.Keyspace, Span: string(e.ref.ID), State: stateOf(e), Token: e.actor.Token,
		LagMs: e.status.LagMS, Load: measure(e.status.Load), Size: measure(e.status.Size), Copied: e.status.Copied, CopyTotal: e.status.CopyTotal,
		Error: e.status.Error,
	}
	if e.actor.Why != "" {
		s.Error = e.actor.Why
	}
	// The position it opened at is durable as well.
	if at := e.status.Checkpoint.Max(e.actor.From); at.Known {
		s.Checkpoint = &at.At
	}
	for _, k := range e.status.SplitKeys {
		s.SplitKeys = append(s.SplitKeys, []byte(k))
	}
	return s
}

// tell remembers what the leader knows now.
func (e *entry) tell() {
	told := e.status
	e.told = &told
}

// alike says whether a leader that knows a would not decide, nor a person read, anything else by b. The positions do not
// count. A lag counts if it has changed by more than a second and a tenth: it grows by itself, and the lag of a span
// that is well goes up and down within that.
func alike(a, b Status) bool {
	return a.Checkpoint.Known == b.Checkpoint.Known && a.Error == b.Error &&
		same(measure(a.Load), measure(b.Load)) && same(measure(a.Size), measure(b.Size)) && same(a.Copied, b.Copied) && same(a.CopyTotal, b.CopyTotal) &&
		slices.Equal(a.SplitKeys, b.SplitKeys) && lagsAlike(a.LagMS, b.LagMS)
}

func same[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func lagsAlike(a, b *int64) bool {
	if a == nil || b == nil {
		return a == b
	}
	off := max(*a-*b, *b-*a)
	return off <= time.Second.Milliseconds() || off <= *a/10
}

// measure keeps what could not be compared or added up away from the leader.
func measure(x *float64) *float64 {
	if x == nil || !(*x >= 0) || math.IsInf(*x, 1) {
		return nil
	}
	return x
}

func stateOf(e *entry) sessionv1.SpanStatus_State {
	switch {
	case e.group != nil && !e.group.merger.Busy():
		return sessionv1.SpanStatus_STATE_CLOSING
	case e.actor.Busy():
		return sessionv1.SpanStatus_STATE_PENDING
	case e.actor.Phase == operator.Opening:
		return sessionv1.SpanStatus_STATE_OPENING
	case e.actor.Phase == operator.Running:
		return sessionv1.SpanStatus_STATE_RUNNING
	}
	return sessionv1.SpanStatus_STATE_CLOSING
}
