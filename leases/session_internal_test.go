package leases

import (
	"testing"
	"time"
)

// A renewal may be answered after somebody was told that the right is over. Nothing may move then.
func TestLateAnswerRevivesNothing(t *testing.T) {
	now := time.Minute
	s := &Session{
		cfg:     Config{TTL: 5 * time.Second, Margin: 500 * time.Millisecond, Clock: func() time.Duration { return now }},
		renewed: make(chan struct{}, 1), lost: make(chan struct{}), sent: now, until: now + 4500*time.Millisecond,
	}
	now += 4400 * time.Millisecond
	sent := now
	if !s.MayAct() {
		t.Fatal("over too early")
	}
	now += 200 * time.Millisecond
	if s.extend(sent, 5*time.Second) || s.MayAct() || s.MayActUntil() > now || len(s.renewed) != 0 {
		t.Errorf("an answer revived the session: %v left", s.Remaining())
	}
}

// Attempts overlap, so answers may come in another order than the requests went.
func TestOlderAnswerShortensNothing(t *testing.T) {
	now := time.Minute
	s := &Session{
		cfg:     Config{TTL: 5 * time.Second, Clock: func() time.Duration { return now }},
		renewed: make(chan struct{}, 1), lost: make(chan struct{}), sent: now, until: now + 5*time.Second,
	}
	s.extend(now+2*time.Second, 5*time.Second)
	s.extend(now+time.Second, 5*time.Second)
	if got, want := s.MayActUntil(), now+7*time.Second; got != want {
		t.Errorf("may act until %v, want %v", got, want)
	}
}
