package maintainer

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"go.uber.org/zap"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/election"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
)

const (
	// firstStandbyRetry is the pause before a stream to the same leader is tried again; it doubles up to standbyRetry.
	firstStandbyRetry = 2 * time.Millisecond
	standbyRetry      = 200 * time.Millisecond
	// leaderPoll is how often a process without a leader looks for one.
	leaderPoll = 50 * time.Millisecond
	// probeTimeout bounds the dial that finds out whether the leader's process is gone.
	probeTimeout = time.Second
)

// standBy keeps a stream to whoever leads, as long as that is another process. When it breaks and the leader's host
// refuses a new connection, the process is gone: that is the evidence to depose it. Any other failure proves nothing,
// and the leader's lease decides.
//
// A process that dies closes its connections before it closes its listener, as a rule: the first new connection may
// still be taken, by nobody. So the next one is tried soon, and what is known of a term stays known.
func (m *Maintainer) standBy(ctx context.Context) error {
	met := int64(0) // the last term whose leader has answered
	retry := firstStandbyRetry
	for ctx.Err() == nil {
		leader, number := m.leaderRecord()
		if number == 0 || leader.Resigned || leader.Instance == m.instance || m.current() != nil {
			pause(ctx, leaderPoll)
			continue
		}
		streamed, err := m.stream(ctx, leader, number)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the stream ended because the process does
		}
		m.log.Debug("standby stream ended", zap.String("leader", leader.Maintainer), zap.Int64("term", number), zap.Error(err))
		if streamed {
			met, retry = number, firstStandbyRetry
		}
		switch {
		case fault.Is(err, fault.NotLeader): // it lives, and whoever is next will be in the leader key
			retry = standbyRetry
		case met == number && m.processGone(ctx, leader.Address):
			m.accuse(ctx, election.Evidence{Term: number, Instance: leader.Instance})
		}
		if !m.lastsFor(ctx, number, retry) {
			retry = firstStandbyRetry
			continue
		}
		retry = min(2*retry, standbyRetry)
	}
	return nil
}

// accuse hands the evidence to the campaign, unless somebody else leads by now.
func (m *Maintainer) accuse(ctx context.Context, e election.Evidence) {
	for m.lastsFor(ctx, e.Term, 0) {
		timer := time.NewTimer(leaderPoll)
		select {
		case m.evidence <- e:
			timer.Stop()
			return
		case <-timer.C: // the process has no session to campaign with
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// lastsFor waits as long as the term is the one in the leader key, at most d, and says whether it still is.
func (m *Maintainer) lastsFor(ctx context.Context, number int64, d time.Duration) bool {
	for until := time.Now().Add(d); ctx.Err() == nil; {
		if leader, now := m.leaderRecord(); now != number || leader.Resigned {
			return false
		}
		left := time.Until(until)
		if left <= 0 {
			return true
		}
		pause(ctx, min(left, leaderPoll))
	}
	return false
}

// processGone dials the address once. Only a refusal counts: the host is there, and nobody listens.
func (m *Maintainer) processGone(ctx context.Context, address string) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := m.cfg.Dial(ctx, address)
	if err == nil {
		_ = conn.Close()
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// stream holds one standby stream, and says whether that very leader has answered on it.
func (m *Maintainer) stream(ctx context.Context, leader record.Leader, number int64) (streamed bool, err error) {
	conn, err := m.dial(leader.Address)
	if err != nil {
		return false, fmt.Errorf("dial: %w", err)
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rpc, err := sessionv1.NewSessionClient(conn).Standby(ctx)
	if err != nil {
		return false, fmt.Errorf("open: %w", err)
	}
	said := m.standbyMessage()
	if err := rpc.Send(said); err != nil {
		return false, fmt.Errorf("send: %w", err)
	}
	var over error
	ended := make(chan struct{})
	answered := make(chan bool, 1)
	go func() {
		defer close(ended)
		over = listen(rpc.Recv, leader.Instance, number, answered)
	}()
	defer func() { cancel(); <-ended }()
	tick := time.NewTicker(m.cfg.StandbyEvery)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return streamed || isAnswered(answered), over
		case <-answered:
			streamed = true
		case <-tick.C:
			if _, now := m.leaderRecord(); now != number {
				return false, errTermOver
			}
			r := m.standbyMessage()
			if r.GetRevision() == said.GetRevision() && r.GetDraining() == said.GetDraining() {
				continue
			}
			said = r
			if err := rpc.Send(r); err != nil {
				return streamed, fmt.Errorf("send: %w", err)
			}
		}
	}
}

func isAnswered(c <-chan bool) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// listen reads until the stream ends, and tells once if it is the expected instance in the expected term that answers.
func listen(recv func() (*sessionv1.StandbyResponse, error), instance string, number int64, answered chan<- bool) error {
	for {
		r, err := recv()
		if err != nil {
			return err
		}
		if r.GetInstance() == instance && r.GetTerm() == number {
			select {
			case answered <- true:
			default:
			}
		}
	}
}

func (m *Maintainer) standbyMessage() *sessionv1.StandbyRequest {
	return &sessionv1.StandbyRequest{
		Cluster: m.cfg.Layout.ClusterName(), Maintainer: m.cfg.Name, Instance: m.instance,
		Revision: m.view.Revision(), Draining: m.stopping.Load() || !m.campaigning.Load(),
	}
}
