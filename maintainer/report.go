package maintainer

import (
	"cmp"
	"slices"
	"time"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// failingAfter is how many openings in a row fail before the span is a problem.
const failingAfter = 5

// comparison is what a node has said about its instances, to be compared with the records once the view has got as
// far as the node had: then what differs is not just late.
type comparison struct {
	revision int64
	// full: the node runs nothing but what is in runs and busy.
	full bool
	// runs are instances, gone are spans that run no more, busy are those that a transaction is about to change.
	runs, gone, busy map[operator.Ref]struct{}
}

// report takes what a node says. now is when it came.
func (l *loop) report(st *stream, r *sessionv1.Report, now time.Duration) {
	if l.streams[st.session] != st {
		return
	}
	if ms := r.GetMayActForMs(); ms > 0 {
		l.known.updateNode(st.session, func(k *nodeKnown) { k.mayActUntil = now + time.Duration(ms)*time.Millisecond })
	}
	for _, res := range r.GetResults() {
		l.result(st, res)
	}
	c := comparison{
		revision: r.GetRevision(), full: r.GetFull(),
		runs: map[operator.Ref]struct{}{}, gone: map[operator.Ref]struct{}{}, busy: map[operator.Ref]struct{}{},
	}
	for _, s := range r.GetSpans() {
		l.status(st, s, &c)
	}
	st.hears(c)
	if c.full || len(c.gone) > 0 {
		st.comparing = append(st.comparing, c)
	}
}

func (l *loop) status(st *stream, s *sessionv1.SpanStatus, c *comparison) {
	r := operator.Ref{Keyspace: s.GetKeyspace(), ID: span.ID(s.GetSpan())}
	switch s.GetState() {
	case sessionv1.SpanStatus_STATE_GONE:
		c.gone[r] = struct{}{}
		return
	case sessionv1.SpanStatus_STATE_PENDING:
		c.busy[r] = struct{}{}
	default:
		c.runs[r] = struct{}{}
	}
	if _, ok := l.state.Span(r); !ok {
		return
	}
	l.known.update(r, func(k *spanKnown) { take(k, st.session, s) })
	l.tellLoad(r, time.Now())
	l.progressed(r, st.session, s.GetCopied(), time.Now())
	if s.Checkpoint != nil {
		l.progress.heard(r, st.session, s.GetCheckpoint())
	}
}

// take replaces the status of a span by what its session says now. What the loop itself has found out stays.
func take(k *spanKnown, session int64, s *sessionv1.SpanStatus) {
	k.session = session
	k.checkpoint, k.checkpointKnown = s.GetCheckpoint(), s.Checkpoint != nil
	k.lagMS, k.load, k.size, k.copied, k.copyTotal = s.LagMs, s.Load, s.Size, s.Copied, s.CopyTotal
	k.splitKeys = nil
	for _, key := range s.GetSplitKeys() {
		k.splitKeys = append(k.splitKeys, string(key))
	}
	if s.GetState() == sessionv1.SpanStatus_STATE_RUNNING || s.GetError() != "" {
		k.lastError = s.GetError()
	}
}

// result takes the answer to an ask. Late answers, about records that have moved on, change nothing.
func (l *loop) result(st *stream, res *sessionv1.StageResult) {
	r := operator.Ref{Keyspace: res.GetKeyspace(), ID: span.ID(res.GetSpan())}
	w := l.works[r]
	l.hears(st.session)
	home, answers := l.answering(r)
	mine := answers != nil && answers.ask != nil && answers.ask.session == st.session
	l.revokeAnswered(r, res)
	switch res.GetResult() {
	case sessionv1.StageResult_RESULT_CLAIMED, sessionv1.StageResult_RESULT_DONE:
		if mine && answers.ask.state == asked {
			l.answered(home, answers, taken)
		}
		if w != nil && w.broken != 0 && res.GetResult() == sessionv1.StageResult_RESULT_DONE {
			w.broken = 0
			l.dirty.push(r)
		}
	case sessionv1.StageResult_RESULT_REFUSED:
		if mine && answers.ask.state != refused {
			l.refused(home, answers, res)
		}
	case sessionv1.StageResult_RESULT_MISSING:
		l.missing(r, w, mine)
	case sessionv1.StageResult_RESULT_OPEN_FAILED:
		l.openFailed(r, st, res.GetError())
	case sessionv1.StageResult_RESULT_ABORTED:
		l.aborted(r, st)
	case sessionv1.StageResult_RESULT_REVOKED:
		l.openingRevoked(r)
	case sessionv1.StageResult_RESULT_CLOSE_FAILED:
		if _, ok := l.state.Span(r); ok { // else nobody would forget it
			l.known.update(r, func(k *spanKnown) { k.lastError = res.GetError() })
		}
		l.log.Warn("closing failed", refField(r), zap.String("node", st.node), zap.String("error", res.GetError()))
	case sessionv1.StageResult_RESULT_UNSPECIFIED: // of a newer version
	}
}

// answering is the span whose work holds the ask that an answer about r is for: what one source of a merge answers is the
// answer for all.
func (l *loop) answering(r operator.Ref) (operator.Ref, *work) {
	w := l.works[r]
	if home, ok := l.joint[r]; ok && (w == nil || w.ask == nil) {
		return home, l.works[home]
	}
	return r, w
}

// refusedRetry is the first pause after a refusal on the same record; it doubles up to Config.MaxAskRetry. If the
// record was out of date the view shows the next one first, and the pause does not matter.
const refusedRetry = 200 * time.Millisecond

func (l *loop) refused(r operator.Ref, w *work, res *sessionv1.StageResult) {
	l.m.stats.refused.Add(1)
	l.log.Debug("ask refused", refField(r), zap.String("node", w.ask.node), zap.String("error", res.GetError()), zap.String("holder", res.GetHolder()))
	l.answered(r, w, refused)
	w.ask.again = time.Now().Add(backoff(refusedRetry, l.tuned.AskRetryMax, w.ask.tries))
	l.dirty.push(r)
}

// openFailed counts a failure of the workload and puts the next try off, elsewhere if there is another node.
func (l *loop) openFailed(r operator.Ref, st *stream, text string) {
	s, ok := l.state.Span(r)
	if !ok || !s.Owner.Nobody() && s.Owner.Session != st.session && l.state.Session(s.Owner.Node) == s.Owner.Session {
		return // it runs elsewhere by now
	}
	w := l.work(r)
	if w.ask != nil && w.ask.session == st.session {
		l.dropAsk(r, w)
	}
	l.failedOpening(r, w, st.node, s.Owner.Token, text)
}

// failedOpening: broken is the token of an instance that could not go on, 0 if there was none.
func (l *loop) failedOpening(r operator.Ref, w *work, node string, broken uint64, text string) {
	w.noteFailure(node)
	text = cmp.Or(text, "no reason was given")
	w.failedOn, w.holdFor, w.broken = node, operator.Identity{}, broken
	w.retryAt = time.Now().Add(jitter(backoff(l.tuned.OpenRetry, l.tuned.OpenRetryMax, w.failures-1)))
	l.wake(r, w, w.retryAt)
	l.known.update(r, func(k *spanKnown) { k.lastError, k.failures, k.retryAt = text, w.failures, w.retryAt })
	l.log.Warn("opening failed", refField(r), zap.String("node", node), zap.Int("failures", w.failures), zap.String("error", text))
	if w.failures >= failingAfter {
		l.known.complain(problem{kind: "failing", keyspace: r.Keyspace, span: string(r.ID), node: node, message: text})
	}
	l.dirty.push(r)
}

// maxFailedAt bounds the nodes that a span avoids.
const maxFailedAt = 16

// noteFailure counts a failure, and puts the node behind all that have failed before.
func (w *work) noteFailure(node string) {
	if w.failures == 0 {
		w.failedAt = nil
	}
	w.failures++
	w.failedAt = append(slices.DeleteFunc(w.failedAt, func(n string) bool { return n == node }), node)
	w.failedAt = w.failedAt[max(0, len(w.failedAt)-maxFailedAt):]
}

// aborted: an opening was given up because its node was asked to, or stops.
func (l *loop) aborted(r operator.Ref, st *stream) {
	w := l.works[r]
	if w == nil {
		return
	}
	if w.ask != nil && w.ask.session == st.session {
		l.dropAsk(r, w)
	}
	if l.wasLate(w, st.session) {
		l.openFailed(r, st, "it took too long to open and was given up")
		return
	}
	if w.failures == 0 {
		w.retryAt = time.Time{}
	}
	l.dirty.push(r)
}

// missing: the owner has answered an ask that what it is about does not run.
func (l *loop) missing(r operator.Ref, w *work, mine bool) {
	s, ok := l.state.Span(r)
	if !mine || !ok || s.Mod != w.ask.mod || s.Owner.Session != w.ask.session {
		return
	}
	w.missing = s.Owner.Token
	l.dropAsk(r, w)
	l.dirty.push(r)
}

// compareReports compares what the view has caught up with.
func (l *loop) compareReports() {
	revision := l.state.Revision()
	for _, st := range l.streams {
		for len(st.comparing) > 0 && st.comparing[0].revision <= revision {
			c := st.comparing[0]
			st.comparing = st.comparing[1:]
			l.compare(st, c)
		}
	}
}

func (l *loop) compare(st *stream, c comparison) {
	for r := range c.gone {
		l.notRunning(st, r, c.revision)
	}
	if !c.full {
		return
	}
	for _, r := range l.state.Owned(st.session) {
		if _, ok := c.runs[r]; !ok {
			if _, ok := c.busy[r]; !ok {
				l.notRunning(st, r, c.revision)
			}
		}
	}
	for r := range c.runs {
		if !l.has(st.session, r) {
			l.log.Warn("a span runs that etcd does not know there", refField(r), zap.String("node", st.node))
			l.outConfirm[st.session] = append(l.outConfirm[st.session], &sessionv1.SpanRef{Keyspace: r.Keyspace, Span: string(r.ID)})
		}
	}
}

// has reports whether the records name the session as the span's owner or actor.
func (l *loop) has(session int64, r operator.Ref) bool {
	if s, ok := l.state.Span(r); ok && s.Owner.Session == session {
		return true
	}
	c, ok := l.state.Claim(r)
	return ok && c.Session == session
}

// notRunning notes that the recorded owner does not run the span, as of a revision.
func (l *loop) notRunning(st *stream, r operator.Ref, revision int64) {
	s, ok := l.state.Span(r)
	if !ok || s.Owner.Session != st.session || l.state.OwnedSince(r) > revision {
		return
	}
	l.work(r).missing = s.Owner.Token
	l.dirty.push(r)
}

// position is the newest known durable position of a span beside its record.
func (l *loop) position(r operator.Ref) record.Position {
	return l.progress.at(l.state, r)
}
