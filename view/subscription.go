package view

// Subscription hands out what has become dirty since it was last taken.
type Subscription struct {
	view *View
	// c holds what has gathered. Only put sends, under the view's lock, and never to a full channel.
	c chan *Dirty
}

// Subscribe begins with a Reset if the view has listed; the first thing that comes is one in any case. A subscriber
// that is slow gets few large sets instead of many small ones, at last a Reset; it never holds the view up.
func (v *View) Subscribe() *Subscription {
	s := &Subscription{view: v, c: make(chan *Dirty, 1)}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.subs[s] = true
	if r := v.state.Revision(); r > 0 {
		s.put(reset(r))
	}
	return s
}

// C delivers the sets. What is received belongs to the receiver. It is never closed.
func (s *Subscription) C() <-chan *Dirty { return s.c }

// Close ends the subscription.
func (s *Subscription) Close() {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	delete(s.view.subs, s)
}

func (s *Subscription) put(d *Dirty) {
	gathered := newDirty(d.Revision)
	select {
	case gathered = <-s.c:
	default:
	}
	gathered.merge(d)
	s.c <- gathered
}
