package maintainer

import (
	"sync"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/scheduler"
	"github.com/spanward/spanward/view"
)

// burstMemory is how long losses of nodes are remembered for the mass-loss hold: its window and its length, however long
// somebody may make them.
const burstMemory = settings.LongestWindow + settings.LongestHold

// past is what a maintainer remembers of what is gone, whoever leads, beside what its view does: who acted on a span
// when his session ended. A claim vanishes with its session, and the opening under it may have got as far as the
// workload.
type past struct {
	state state
	clock func() time.Duration
	ttl   time.Duration
	// changes begin before the first listing.
	changes *view.Subscription

	mu sync.Mutex
	// listed and listedAt are the revision and the time of the last listing. Nobody has seen what vanished before.
	listed   int64
	listedAt time.Duration
	// claims are who acts on spans, openers who did when his session ended.
	claims  map[operator.Ref]operator.Identity
	openers map[operator.Ref]operator.Identity
	burst   []scheduler.Loss
}

func newPast(s state, clock func() time.Duration, ttl time.Duration) *past {
	return &past{
		state: s, clock: clock, ttl: ttl, changes: s.view.Subscribe(),
		claims: map[operator.Ref]operator.Identity{}, openers: map[operator.Ref]operator.Identity{},
	}
}

// catchUp takes what the view has published. After it has returned, whatever can be read from the state has been
// noted, or more.
func (p *past) catchUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case d := <-p.changes.C():
		p.note(d)
	default:
	}
}

func (p *past) note(d *view.Dirty) {
	now := p.clock()
	if d.Reset {
		p.listed, p.listedAt = d.Revision, now
		for _, r := range p.state.Claims() {
			p.follow(r, nil)
		}
		for r := range p.claims {
			p.follow(r, nil)
		}
	}
	var crashed *view.Node
	for _, n := range d.Gone {
		if n.Ended == record.EndedNot {
			crashed = n
		}
		if n.Ended == record.EndedNot && !p.evicted(n.Name, n.Session) {
			p.burst = append(p.burst, scheduler.Loss{Node: n.Name, At: p.loss(n.Session).SeenAt})
		}
	}
	for r := range d.Spans {
		p.follow(r, crashed)
	}
	p.tidy(now)
}

// follow notes who acts on a span. Changes may come gathered: a claim that came and went with its session in one of
// them was never seen, so a span of such a change counts as if the crashed session had acted on it.
func (p *past) follow(r operator.Ref, crashed *view.Node) {
	was, acted := p.claims[r]
	c, acts := p.state.Claim(r)
	switch {
	case acted && (!acts || c.Session != was.Session) && p.state.Session(was.Node) != was.Session:
		p.openers[r] = was
	case !acted && !acts && crashed != nil:
		p.openers[r] = operator.Identity{Node: crashed.Name, Session: crashed.Session}
	}
	if acts {
		p.claims[r] = operator.Identity{Node: c.Node, Session: c.Session}
	} else {
		delete(p.claims, r)
	}
}

// claimGone notes that the leader takes a claim of a session that is over away.
func (p *past) claimGone(r operator.Ref, who operator.Identity) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.openers[r] = who
}

// opener is the session that acted on the span when it ended.
func (p *past) opener(r operator.Ref) (operator.Identity, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	who, ok := p.openers[r]
	return who, ok
}

// unseenUntil is until when somebody may act on a span whose claim was gone before anybody here looked: 0 if that
// cannot be, since the record is younger than the listing.
func (p *past) unseenUntil(s operator.Span) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Mod > p.listed {
		return 0
	}
	return p.listedAt + p.ttl
}

// loss is what is known of the end of a session that is not there.
func (p *past) loss(session int64) operator.Loss {
	gone, ok := p.state.view.SeenVanish(session)
	l := operator.Loss{SeenAt: gone.SeenAt, TTL: p.ttl, Ended: gone.Ended != record.EndedNot}
	if ok && gone.Node.TTL > 0 {
		l.TTL = gone.Node.TTL
	}
	l.Evicted = ok && p.evicted(gone.Node.Name, session)
	return l
}

// evicted reports whether an administrator may have ended the session of a node. Of the evicted sessions of a node only the
// last one is recorded, so earlier ones count, too: it costs them a wait.
func (p *past) evicted(node string, session int64) bool {
	return p.state.NodeConfig(node).Evicted >= session
}

// recent are the nodes lost within such a time.
func (p *past) recent(within time.Duration) (out []scheduler.Loss) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock()
	for _, l := range p.burst {
		if l.At+within >= now {
			out = append(out, l)
		}
	}
	return out
}

// maxOpeners is how many openers are remembered before those that may act no more are looked for.
const maxOpeners = 10_000

func (p *past) tidy(now time.Duration) {
	for len(p.burst) > 0 && p.burst[0].At+burstMemory < now {
		p.burst = p.burst[1:]
	}
	if len(p.openers) < maxOpeners {
		return
	}
	for r, who := range p.openers {
		if l := p.loss(who.Session); l.SeenAt+l.TTL < now {
			delete(p.openers, r)
		}
	}
}
