package operator

import "time"

// Loss is what a maintainer has seen of a session whose node key is gone. Times are readings of one clock that
// counts suspends.
type Loss struct {
	// SeenAt is when the node key was seen to be gone; at the latest the moment of the first list for sessions
	// that were gone before.
	SeenAt time.Duration
	// Declared is the moment up to which the session last said it may act; Known says that it said so, to this
	// process.
	Declared time.Duration
	Known    bool
	// Ended: the record said, before it went, that nothing runs any more.
	Ended bool
	// Evicted: an administrator has had the lease revoked.
	Evicted bool
	// TTL of the session.
	TTL time.Duration
}

// LapsesAt is when the right to act of a lost session is over: nothing of it is opened elsewhere before.
//
// A session that ended cleanly, or whose process a successor has proved dead, has no such right. An expired
// lease has none either: the process stops by its own clock before etcd lets the lease go. But a key may also
// vanish because someone revoked the lease or deleted the key, under a process that goes on until its own clock
// stops it: at most one TTL after its last renewal, which was before the key was seen to be gone. A loss counts
// as expiry if it came after the declared moment and not later than the lease of that declaration could last. Not so that
// of an evicted session: whoever is evicted has often not been heard of for a while, and may have renewed since.
func LapsesAt(l Loss) time.Duration {
	if l.Ended {
		return l.SeenAt
	}
	if l.Known && !l.Evicted && l.SeenAt >= l.Declared && l.SeenAt < l.Declared+l.TTL {
		return l.SeenAt
	}
	return l.SeenAt + l.TTL
}
