package maintainer

import (
	"errors"
	"fmt"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/view"
)

// silence is how long etcd may have said nothing before the view does not count as warm any more. The view itself asks
// every few seconds, and connects anew when nobody answers.
const silence = 30 * time.Second

var (
	errNotRegistered = errors.New("not registered with etcd: it does not answer, or another process has the name; see the log")
	errCold          = errors.New("the view has not been listed yet")
	errHung          = errors.New("this process leads, and the loop that decides has made no turn for too long")
)

// Ready says why the process cannot do its part, nil if it can: it is registered with etcd, and knows what is there.
// Whether anybody leads is no question of this process; see the status. It may be called at any time.
func (m *Maintainer) Ready() error {
	if m.stats.mayAct() <= 0 {
		return errNotRegistered
	}
	if m.view.Revision() == 0 {
		return errCold
	}
	if quiet := time.Since(m.view.Stats().Heard); quiet > silence {
		return fmt.Errorf("etcd has told the view nothing for %s", quiet.Round(time.Second))
	}
	return nil
}

// Alive says why the process should be started anew, nil if it need not: a leader's loop must turn. Such a leader loses
// its seat by itself, since its session is not renewed. It may be called at any time.
func (m *Maintainer) Alive() error {
	if !m.healthy() {
		return errHung
	}
	return nil
}

// Overview is what `status` says, nil unless this process leads. It costs a look at every span. It may be called at any
// time.
func (m *Maintainer) Overview() *controlv1.GetStatusResponse {
	t := m.current()
	if t == nil {
		return nil
	}
	var f statusFacts
	m.view.Read(func(s *view.State) { f = statusOf(s) })
	return renderStatus(f, t.known, time.Now())
}
