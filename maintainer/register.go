package maintainer

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/leases"
)

const (
	// sessionPause is the wait after a session that could not be had.
	sessionPause = 200 * time.Millisecond
	// namePoll is how often a process whose name is taken looks again.
	namePoll = 100 * time.Millisecond
)

// register puts the own key on the session's lease. Two processes of one name: the second waits for the first's
// session to end, and says so.
func (m *Maintainer) register(ctx context.Context, s *leases.Session) error {
	key := m.cfg.Layout.Maintainer(m.cfg.Name)
	value := record.EncodeMaintainer(record.Maintainer{
		Name: m.cfg.Name, Instance: m.instance, Address: m.cfg.Advertise, Version: m.cfg.Version, StartedAt: m.started,
	})
	part := txn.Part{
		If:   []txn.Cmp{txn.Absent(key)},
		Then: []txn.Op{txn.PutLeased(key, value)},
		Mine: func(f txn.Found) bool {
			got, err := record.DecodeMaintainer(f[key].Value)
			return err == nil && got.Instance == m.instance && f[key].Lease == int64(s.ID())
		},
	}
	for said := false; ; {
		if err := m.hit(ctx, "maintainer/any/register/before"); err != nil {
			return err
		}
		res, err := etcdx.Settle(ctx, m.cfg.Client, s.ID(), txn.Batch{Parts: []txn.Part{part}}, etcdx.Options{TryTimeout: m.cfg.RequestTimeout})
		if err != nil {
			return fmt.Errorf("register: %w", err)
		}
		if res[0].Outcome == txn.Done {
			m.stats.registered(s)
			m.log.Info("registered", zap.String("address", m.cfg.Advertise), zap.String("instance", m.instance))
			return m.hit(ctx, "maintainer/any/register/after")
		}
		if !said {
			m.log.Warn("the name is taken: waiting until the other process's session is over", zap.String("holder", holder(res[0].Found[key].Value)))
			said = true
		}
		if err := m.nameFree(ctx, res[0].Revision); err != nil {
			return err
		}
	}
}

func holder(value []byte) string {
	r, err := record.DecodeMaintainer(value)
	if err != nil {
		return "unreadable"
	}
	return r.Address
}

// nameFree waits until the view shows nobody under the own name, at a revision after the one that said otherwise. It
// takes a moment in any case: a record that nobody can read holds the name and is not shown.
func (m *Maintainer) nameFree(ctx context.Context, after int64) error {
	if err := m.view.Wait(ctx, after); err != nil {
		return err
	}
	for pause(ctx, namePoll) {
		if !m.nameTaken() {
			return nil
		}
	}
	return context.Cause(ctx)
}
