package maintainer

import (
	"sync"

	"google.golang.org/grpc"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
)

// standbys are the other maintainers that keep a stream to this leader, with how far their views are. They stay known
// when the term ends, which also ends their streams: it is then that a successor is named.
type standbys struct {
	mu   sync.Mutex
	list map[string]standbyState
}

type standbyState struct {
	instance string
	revision int64
	// draining: it does not campaign now, because it stops or has no session.
	draining bool
}

func newStandbys() *standbys { return &standbys{list: map[string]standbyState{}} }

func (s *standbys) put(name string, st standbyState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[name] = st
}

// clear forgets all of them: a new term begins.
func (s *standbys) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.list)
}

// drop forgets a standby, unless another process of that name has come since.
func (s *standbys) drop(name, instance string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list[name].instance == instance {
		delete(s.list, name)
	}
}

// successor is the standby whose view is the farthest, "" if there is none. Ties go to the first name.
func (s *standbys) successor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	best, found := "", standbyState{revision: -1}
	for name, st := range s.list {
		if st.draining || st.revision < found.revision || st.revision == found.revision && name > best {
			continue
		}
		best, found = name, st
	}
	return best
}

// Standby is kept open by another maintainer, which learns by its end that this process is gone.
func (s sessions) Standby(rpc grpc.BidiStreamingServer[sessionv1.StandbyRequest, sessionv1.StandbyResponse]) error {
	m := s.m
	ctx := rpc.Context()
	t, _ := m.awaitLead(ctx)
	if t == nil {
		return m.notLeader()
	}
	in := receive(ctx, m, rpc.Recv)
	first, err := next(ctx, t, in, m.cfg.RegisterTimeout)
	if err != nil {
		return m.ended(t, err)
	}
	if err := m.sameCluster(first.GetCluster()); err != nil {
		return err
	}
	if first.GetMaintainer() == m.cfg.Name {
		return fault.New(fault.Refused, "that is the leader itself").On("maintainer", m.cfg.Name)
	}
	if err := rpc.Send(&sessionv1.StandbyResponse{Term: t.number, Instance: m.instance}); err != nil {
		return err
	}
	m.heardStandby(first)
	for {
		select {
		case msg, ok := <-in.messages:
			if !ok {
				m.standbys.drop(first.GetMaintainer(), first.GetInstance())
				return m.ended(t, in.err)
			}
			m.standbys.put(first.GetMaintainer(), standbyState{first.GetInstance(), msg.GetRevision(), msg.GetDraining()})
		case <-t.over.Done():
			return m.notLeader()
		}
	}
}

func (m *Maintainer) heardStandby(r *sessionv1.StandbyRequest) {
	m.standbys.put(r.GetMaintainer(), standbyState{r.GetInstance(), r.GetRevision(), r.GetDraining()})
}
