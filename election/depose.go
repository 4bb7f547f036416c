package election

import (
	"context"
	"fmt"
	"time"
)

// Evidence is what a standby knows of the leader that it saw die.
type Evidence struct {
	// Term is the one the standby had a stream in.
	Term int64
	// Instance is the process at the other end. It must be the same that the key names.
	Instance string
}

// Depose replaces a leader whose process is known to be gone, at once instead of when its lease expires. It is safe in any
// case, since the leader's writes compare its term; but a leader deposed for nothing is a loss. So it is refused
// (errors.Is ErrRefused) unless the key still shows that term and instance, and more than once per TTL.
func (c *Candidate) Depose(ctx context.Context, e Evidence) (*Seat, error) {
	if c.seated() {
		return nil, ErrSeated
	}
	if c.cfg.Draining() {
		return nil, fmt.Errorf("%w: this candidate is draining", ErrRefused)
	}
	ctx, release := c.whileSession(ctx)
	defer release()
	f := newFollower(c.cfg.Client, c.cfg.Key, c.cfg.Logger)
	defer f.close()
	if err := f.reread(ctx); err != nil {
		return nil, err
	}
	if err := e.against(f.cur); err != nil {
		return nil, err
	}
	if err := c.mayDepose(); err != nil {
		return nil, err
	}
	seat, err := c.seize(ctx, f)
	if seat == nil && err == nil {
		return nil, fmt.Errorf("%w: the key has changed in the meantime", ErrRefused)
	}
	return seat, err
}

func (e Evidence) against(h Holder) error {
	switch {
	case !h.Leads():
		return fmt.Errorf("%w: nobody leads", ErrRefused)
	case h.Term != e.Term:
		return fmt.Errorf("%w: the term is %d, not %d", ErrRefused, h.Term, e.Term)
	case h.Instance != e.Instance:
		return fmt.Errorf("%w: the leader is instance %q, not %q", ErrRefused, h.Instance, e.Instance)
	}
	return nil
}

// mayDepose allows one attempt per TTL, whatever becomes of it: whoever deposes again and again sees something wrong.
func (c *Candidate) mayDepose() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.cfg.Session.Now()
	if left := c.cfg.Session.TTL() - (now - c.deposed); c.ever && left > 0 {
		return fmt.Errorf("%w: this candidate deposed a leader a moment ago and may again in %v", ErrRefused, left.Round(time.Millisecond))
	}
	c.deposed, c.ever = now, true
	return nil
}
