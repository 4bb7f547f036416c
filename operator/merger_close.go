package operator

func (m Merger) claimed(env Env, ev MergeAnswer) (Merger, []Effect) {
	if !ev.Done {
		return m.refused(env, ev)
	}
	var fx []Effect
	for n := range m.Members {
		m.Members[n].Claim.Mod = ev.Mod
		fx = append(fx, On{n, Say{Result: ResultClaimed, Operator: m.Operator()}})
	}
	m.Phase, m.Exact = MergeHolding, true
	for n, a := range m.Members {
		if a.Instance {
			fx = append(fx, On{n, Hold{}})
			continue
		}
		// What does not run cannot go on to a common position.
		m.Seats[n] = Seat{Held: true}
	}
	m, more := m.allHeld(env)
	return m, append(fx, more...)
}

// refused: nothing was claimed, so every member goes on as it was.
func (m Merger) refused(env Env, ev MergeAnswer) (Merger, []Effect) {
	why := Say{Result: ResultRefused, Operator: m.Operator(), Err: "the plan is out of date"}
	for _, a := range ev.Members {
		if a.Held != nil {
			why.Holder, why.Err = a.Held.Operator, "a source is being acted on"
		}
	}
	var fx []Effect
	for n, a := range m.Members {
		if n < len(ev.Members) && ev.Members[n].Found != nil && env.Me.Owns(ev.Members[n].Found.Span) {
			a.Span = *ev.Members[n].Found
		}
		a.Claim = Claim{}
		own := []Effect{why}
		if !a.Instance {
			fx = append(fx, Leave{n, Actor{}, append(own, Forget{})})
			continue
		}
		a.Phase = Running
		if a.Doomed || a.Why != "" {
			var more []Effect
			a, more = a.stop()
			own = append(own, more...)
		}
		fx = append(fx, Leave{n, a, own})
	}
	return Merger{}, fx
}

func (m Merger) held(env Env, n int, ev CanHold) (Merger, []Effect) {
	if m.Seats[n].Held {
		return m, nil
	}
	m.Seats[n] = Seat{Held: true, At: ev.At}
	switch m.Phase {
	case MergeHolding:
		return m.allHeld(env)
	case MergeInterrupting:
		return m.heldLate(env, n)
	default:
		return m, nil
	}
}

func (m Merger) holdFailed(env Env, n int, ev HoldFailed) (Merger, []Effect) {
	s := &m.Seats[n]
	switch {
	case s.Held:
		return m, nil
	case m.Phase == MergeInterrupting:
		s.Held = true
		return m.heldLate(env, n)
	case m.Phase != MergeHolding:
		return m, nil
	case m.Members[n].Why != "":
		// It has failed by itself and gets nowhere any more.
		*s = Seat{Held: true}
		return m.allHeld(env)
	}
	s.Tries++
	return m, []Effect{
		On{n, Say{Result: ResultCloseFailed, Operator: m.Operator(), Err: "hold: " + ev.Err}},
		On{n, Hold{Try: s.Tries}},
	}
}

// allHeld closes the members once all are held: at the highest of their positions if each can choose, else where they are.
func (m Merger) allHeld(env Env) (Merger, []Effect) {
	for n, s := range m.Seats {
		if !s.Held {
			return m, nil
		}
		m.Exact = m.Exact && s.At.Known && m.Members[n].Instance
		m.To = m.To.Max(s.At)
	}
	m.Phase = MergeClosing
	var fx []Effect
	for n, a := range m.Members {
		if a.Instance {
			m.Seats[n].Closing, m.Seats[n].Tries = true, 0
			fx = append(fx, On{n, m.closing(n)})
		}
	}
	if len(fx) == 0 {
		return m.swap(env)
	}
	return m, fx
}

func (m Merger) closing(n int) Effect {
	if m.Exact && n != m.removed() && m.Members[n].Why == "" {
		return CloseAt{At: m.To, Try: m.Seats[n].Tries}
	}
	return Close{Try: m.Seats[n].Tries}
}

func (m Merger) closed(env Env, n int, ev Closed) (Merger, []Effect) {
	a := &m.Members[n]
	if !a.Instance {
		return m, nil
	}
	a.Instance, a.From = false, a.From.Max(ev.At)
	m.Seats[n].Shut, m.Seats[n].Closing = m.Seats[n].Closing, false
	switch {
	case m.Phase == MergeInterrupting:
		return m.interrupted(env)
	case m.Phase != MergeClosing:
		return m, nil
	}
	for _, a := range m.Members {
		if a.Instance {
			return m, nil
		}
	}
	return m.swap(env)
}

// closeFailed: a closing that fails is tried again, unless the member was interrupted, which ends by itself.
func (m Merger) closeFailed(n int, ev CloseFailed) (Merger, []Effect) {
	s := &m.Seats[n]
	if !m.Members[n].Instance || !s.Closing {
		return m, nil
	}
	s.Tries++
	return m, []Effect{
		On{n, Say{Result: ResultCloseFailed, Operator: m.Operator(), Err: ev.Err}},
		On{n, m.closing(n)},
	}
}
