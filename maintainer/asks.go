package maintainer

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
)

const (
	// asksPerMessage keeps messages, and the transactions that dispatchers make of them, of a size.
	asksPerMessage = 100
	// bytesPerMessage bounds them further: gRPC takes no more than 4 MiB, and a split of many long keys is large.
	bytesPerMessage = 1 << 20
	// confirmsPerMessage bounds a list of names only.
	confirmsPerMessage = 1000
)

// queueAsk adds the ask to those of this turn. Its record is the one that the plan was made on.
func (l *loop) queueAsk(s operator.Span, k *ask) {
	if k.members == nil {
		for _, m := range append([]operator.Span{s}, k.peers...) {
			k.members = append(k.members, l.askMember(m, k.action))
		}
	}
	a := &sessionv1.Ask{Keyspace: s.Keyspace, Action: k.action, Members: k.members, By: int32(k.by), Reason: k.why}
	if s.Intent != nil {
		a.Operator = s.Intent.Operator
	}
	l.queue(k.session, a)
}

// askMember is a span as the plan was made on it. Whoever ends its work early may have to open it again, so each comes with
// its position: of what its owner is to close that is what was reported last, so that nothing that is stored meanwhile is
// higher than where its children begin.
func (l *loop) askMember(s operator.Span, action sessionv1.Ask_Action) *sessionv1.Ask_Member {
	m := &sessionv1.Ask_Member{Span: string(s.ID), ModRevision: s.Mod, Record: record.EncodeSpan(s.Span)}
	p := operator.Durable(s.Span, l.position(s.Ref))
	if action != sessionv1.Ask_ACTION_OPEN {
		p = p.Max(l.progress.pending(s))
	}
	if p.Known {
		m.Checkpoint = &p.At
	}
	return m
}

// queue adds an ask to those of this turn. A closing may come to be an opening, by a cancel or with the children of a split,
// so every ask says what is to be run.
func (l *loop) queue(session int64, a *sessionv1.Ask) {
	ks := l.state.Keyspace(a.GetKeyspace())
	a.Workload, a.Settings = ks.Workload, settings.OfWorkload(ks.Settings)
	l.out[session] = append(l.out[session], a)
}

// send hands the asks of this turn to the streams, in messages of a size.
func (l *loop) send() {
	for session, asks := range l.out {
		for len(asks) > 0 {
			n := fitting(asks)
			l.tell(session, &sessionv1.DispatchResponse{Term: l.t.number, Asks: asks[:n:n]})
			l.m.stats.asks.Add(int64(n))
			asks = asks[n:]
		}
	}
	for session, refs := range l.outConfirm {
		for len(refs) > 0 {
			n := min(len(refs), confirmsPerMessage)
			l.tell(session, &sessionv1.DispatchResponse{Term: l.t.number, Confirm: refs[:n:n]})
			refs = refs[n:]
		}
	}
	clear(l.out)
	clear(l.outConfirm)
}

// fitting is how many asks go into the next message.
func fitting(asks []*sessionv1.Ask) int {
	bytes := 0
	for n, a := range asks[:min(len(asks), asksPerMessage)] {
		if bytes += proto.Size(a); bytes > bytesPerMessage && n > 0 {
			return n
		}
	}
	return min(len(asks), asksPerMessage)
}

// tell queues a message. A node that takes nothing for so long is cut off: it registers again, and what it was asked
// is asked again.
func (l *loop) tell(session int64, m *sessionv1.DispatchResponse) {
	st := l.streams[session]
	if st == nil {
		return
	}
	l.m.stats.messages.Add(1)
	select {
	case st.queue <- m:
	default:
		st.cut(errSlow)
	}
}

// point is the failpoint of an ask.
func point(a *sessionv1.Ask) string {
	switch a.GetAction() {
	case sessionv1.Ask_ACTION_OPEN:
		return "maintainer/placement/ask"
	case sessionv1.Ask_ACTION_RELEASE:
		return "maintainer/keyspace/ask"
	case sessionv1.Ask_ACTION_ABORT:
		return "maintainer/placement/abort"
	case sessionv1.Ask_ACTION_CANCEL:
		return "maintainer/cancel/ask"
	case sessionv1.Ask_ACTION_SUPERSEDE:
		return "maintainer/supersede/ask"
	default:
	}
	s, err := record.DecodeSpan(a.GetMembers()[0].GetRecord())
	if err != nil || s.Intent == nil {
		return "maintainer/placement/ask"
	}
	return fmt.Sprintf("maintainer/%s/ask", record.KindName(s.Intent.Kind))
}
