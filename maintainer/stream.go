package maintainer

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/operator"
)

// streamQueue bounds the messages that a stream has not sent.
const streamQueue = 64

var (
	errSlow     = fault.New(fault.Refused, "the dispatcher does not take its messages").Fix("it registers again by itself")
	errGone     = fault.New(fault.Refused, "the session is over in etcd").Fix("register the node again with a new session")
	errReplaced = fault.New(fault.Refused, "the session has registered again on another stream")
)

// stream is one dispatcher's session as the loop sees it: where to put messages.
type stream struct {
	node    string
	session int64
	// queue is what is to be sent, in order.
	queue chan *sessionv1.DispatchResponse
	// over is closed when the stream is to end, why says for what reason.
	over chan struct{}
	once sync.Once
	why  error
	// comparing is what the node has reported and the view has not reached yet. It belongs to the loop.
	comparing []comparison
	// instances are what runs there as far as the node has said, and told is the revision that it knew of its own
	// records up to. heard: it has reported everything once. They belong to the loop.
	instances map[operator.Ref]struct{}
	told      int64
	heard     bool
}

func newStream(node string, session int64) *stream {
	return &stream{
		node: node, session: session,
		queue: make(chan *sessionv1.DispatchResponse, streamQueue), over: make(chan struct{}),
		instances: map[operator.Ref]struct{}{},
	}
}

// cut ends the stream.
func (s *stream) cut(why error) {
	s.once.Do(func() { s.why = why; close(s.over) })
}

// hears takes what the node says that it runs.
func (s *stream) hears(c comparison) {
	if c.full {
		clear(s.instances)
		s.heard = true
	}
	for r := range c.gone {
		delete(s.instances, r)
	}
	for _, some := range []map[operator.Ref]struct{}{c.runs, c.busy} {
		for r := range some {
			s.instances[r] = struct{}{}
		}
	}
	s.told = max(s.told, c.revision)
}

// carry sends what is queued until the stream ends.
func (s *stream) carry(ctx context.Context, m *Maintainer, send func(*sessionv1.DispatchResponse) error) error {
	for {
		select {
		case msg := <-s.queue:
			if err := m.sendAsks(ctx, msg, send); err != nil {
				return err
			}
		case <-s.over:
			return s.why
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// sendAsks sends one message, with the failpoints of the asks in it around.
func (m *Maintainer) sendAsks(ctx context.Context, msg *sessionv1.DispatchResponse, send func(*sessionv1.DispatchResponse) error) error {
	points := map[string]bool{}
	for _, a := range msg.GetAsks() {
		points[point(a)] = true
	}
	for p := range points {
		if err := m.hit(ctx, p+"/before"); err != nil {
			return err
		}
	}
	if err := send(msg); err != nil {
		return err
	}
	for p := range points {
		if err := m.hit(ctx, p+"/after"); err != nil {
			return err
		}
	}
	return nil
}

// streamUp makes the session reachable. One session has one stream: the newer one is the one that works.
func (l *loop) streamUp(s *stream) {
	if old := l.streams[s.session]; old != nil {
		old.cut(errReplaced)
		l.lostAsks(s.session)
	}
	l.streams[s.session] = s
	l.hears(s.session)
	l.known.updateNode(s.session, func(k *nodeKnown) { k.connected, k.since = true, time.Now() })
	l.noteReach(s.node)
	l.fleet.stale = true
	l.log.Info("dispatcher registered", zap.String("node", s.node), zap.Int64("session", s.session))
	l.touch(s.node, s.session)
}

// streamDown makes it unreachable, unless another stream has taken over.
func (l *loop) streamDown(s *stream) {
	if l.streams[s.session] != s {
		return
	}
	delete(l.streams, s.session)
	l.lostAsks(s.session)
	l.known.updateNode(s.session, func(k *nodeKnown) { k.connected, k.since = false, time.Now() })
	l.log.Info("dispatcher stream ended", zap.String("node", s.node), zap.Int64("session", s.session))
	l.noteReach(s.node)
	l.fleet.stale = true
	l.touch(s.node, s.session)
}

// unreachableAfter is how long a node that is alive in etcd may be without a stream before that is shown: after a
// take-over all of them are for a moment.
const unreachableAfter = 2 * time.Second

// noteReach follows whether a node that is alive in etcd has a stream.
func (l *loop) noteReach(node string) {
	session := l.state.Session(node)
	if session == 0 || l.streams[session] != nil {
		delete(l.silent, node)
		l.known.solve("unreachable", "", "", node)
		return
	}
	if _, ok := l.silent[node]; !ok {
		l.silent[node] = time.Now()
	}
}

func (l *loop) showUnreachable(now time.Time) {
	for node, since := range l.silent {
		if now.Sub(since) < unreachableAfter {
			continue
		}
		l.known.complain(problem{
			kind: "unreachable", node: node, since: since,
			message: "alive in etcd, but not connected to the leader: its spans run on, new ones wait",
		})
	}
}

// lostAsks forgets what the session was asked on a stream that is gone, and looks at those spans again.
func (l *loop) lostAsks(session int64) {
	for r := range l.asked[session] {
		l.dropAsk(r, l.work(r))
		l.dirty.push(r)
	}
}

// touch looks again at everything that depends on a node: its spans, those moving there, those without a node.
func (l *loop) touch(node string, session int64) {
	for r := range l.on[session] {
		l.dirty.push(r)
	}
	for _, r := range l.state.MovingTo(node) {
		l.dirty.push(r)
	}
	l.lookAtUnplaced()
}
