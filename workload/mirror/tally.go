package mirror

// A tally is how many keys a span has at the source: a count at one revision, and what was created and deleted after
// it. Changes of one key come once and in order, so it stays exact without another count.
type tally struct {
	known bool
	// at is the revision that keys goes up to; net is what the changes after it came to.
	at        int64
	keys, net int64
	// run tells counts that were begun before something was missed from those after.
	run int
}

// begin says that a count at revision at is under way; what changes after it is added to the answer.
func (t *tally) begin(at int64) (run int) {
	t.keys, t.net, t.at = t.keys+t.net, 0, at
	return t.run
}

// counted is the answer. One that was begun before something was missed does not have it.
func (t *tally) counted(run int, keys int64) bool {
	if run != t.run {
		return false
	}
	t.keys, t.known = keys, true
	return true
}

// changed: the change of a revision has created so many keys more than it has deleted.
func (t *tally) changed(rev, by int64) {
	if rev > t.at {
		t.net += by
	}
}

// missed: not every change is told. What is known is as good as it gets until the next count.
func (t *tally) missed() { t.run++ }

// size is nil before the first count.
func (t *tally) size() *float64 {
	if !t.known {
		return nil
	}
	x := float64(max(0, t.keys+t.net))
	return &x
}
