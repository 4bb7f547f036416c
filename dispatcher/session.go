package dispatcher

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/leases"
)

// session is one registration of the node: from the node key that it has made to the end of the right to act.
type session struct {
	// id is the create revision of the node key.
	id       int64
	instance string
	node     record.Node
	lease    *leases.Session
	// generation of the cluster, for tokens.
	generation uint64
	log        *zap.Logger
}

func (s *session) mayAct() bool             { return s.lease.MayAct() }
func (s *session) mayActFor() time.Duration { return s.lease.Remaining() }

// register makes a session. It waits as long as somebody else has the name.
func (d *Dispatcher) register(ctx context.Context) (*session, error) {
	for {
		d.awaitName(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		s, err := d.tryRegister(ctx)
		if s != nil || err != nil {
			return s, err
		}
	}
}

// tryRegister returns neither a session nor an error if it has to be tried again.
func (d *Dispatcher) tryRegister(ctx context.Context) (*session, error) {
	s, err := d.grant(ctx)
	if err != nil {
		return nil, err
	}
	p := failpointsOf("any", "register")
	if err := d.hit(ctx, p.before); err != nil {
		return nil, err
	}
	err = d.putNode(ctx, s)
	if ctx.Err() == nil && err == nil {
		if err := d.hit(ctx, p.after); err != nil {
			return nil, err
		}
		err = d.readGeneration(ctx, s)
	}
	if err != nil {
		d.log.Warn("registration failed, trying again", zap.Error(err))
		d.revoke(ctx, s)
		return nil, ctx.Err()
	}
	d.remember(s)
	s.log.Info("registered", zap.String("instance", s.instance), zap.Duration("ttl", s.lease.TTL()),
		zap.Strings("workloads", s.node.Workloads), zap.Uint64("generation", s.generation))
	return s, nil
}

// grant gets a lease and writes down what will hang on it.
func (d *Dispatcher) grant(ctx context.Context) (*session, error) {
	var lease *leases.Session
	err := retry(ctx, d.log, "lease", func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		lease, err = leases.Grant(ctx, d.cfg.Client, leases.Config{TTL: d.cfg.TTL, Clock: d.cfg.Clock, Logger: d.log})
		return err
	})
	if err != nil {
		return nil, err
	}
	instance := uuid.NewString()
	return &session{instance: instance, lease: lease, node: record.Node{
		Name: d.cfg.Name, Instance: instance, Address: d.cfg.Advertise, Version: d.cfg.Version,
		Labels: d.cfg.Labels, Capacity: d.cfg.Capacity, Workloads: workloadNames(d.workloads),
		TTL: lease.TTL(), StartedAt: time.Now(), Lease: int64(lease.ID()),
	}}, nil
}

var errNameTaken = errors.New("somebody else was faster")

// putNode makes the node key, which makes the session.
func (d *Dispatcher) putNode(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, s.lease.Remaining())
	defer cancel()
	key := d.cfg.Cluster.Node(d.cfg.Name)
	part := txn.Part{
		If:   []txn.Cmp{txn.Absent(key)},
		Then: []txn.Op{txn.PutLeased(key, record.EncodeNode(s.node))},
		Mine: func(f txn.Found) bool {
			n, err := record.DecodeNode(f[key].Value)
			return err == nil && n.Instance == s.instance
		},
	}
	r, err := d.settleOne(ctx, s, part)
	switch {
	case err != nil:
		return fmt.Errorf("put node key: %w", err)
	case r.Outcome != txn.Done:
		return errNameTaken
	}
	s.id = r.Revision
	if r.Earlier {
		s.id = r.Found[key].Create
	}
	s.log = d.log.With(zap.Int64("session", s.id))
	return nil
}

func (d *Dispatcher) settleOne(ctx context.Context, s *session, p txn.Part) (txn.Result, error) {
	r, err := etcdx.Settle(ctx, d.cfg.Client, s.lease.ID(), txn.Batch{Parts: []txn.Part{p}}, etcdx.Options{})
	if err != nil {
		return txn.Result{}, err
	}
	return r[0], nil
}

// readGeneration reads what is raised when etcd is restored from a backup. That cannot happen under a session.
func (d *Dispatcher) readGeneration(ctx context.Context, s *session) error {
	ctx, cancel := context.WithTimeout(ctx, s.lease.Remaining())
	defer cancel()
	return retry(ctx, d.log, "cluster record", func(ctx context.Context) error {
		v, err := readKey(ctx, d.cfg.Client, d.cfg.Cluster.Cluster())
		if err != nil || v.kv == nil {
			return err
		}
		c, err := record.DecodeCluster(v.kv.Value)
		s.generation = c.Generation
		return err
	})
}

// awaitName returns once nobody has the node key, or ctx ends.
func (d *Dispatcher) awaitName(ctx context.Context) {
	said := ""
	watchKey(ctx, d.cfg.Client, d.log, d.cfg.Cluster.Node(d.cfg.Name), func(v sight) bool {
		if v.kv == nil {
			return false
		}
		n, err := record.DecodeNode(v.kv.Value)
		if err == nil && d.provenDead(n.Instance) {
			d.bury(ctx, v, n)
			return true
		}
		if said != n.Instance || said == "" {
			said = n.Instance
			d.log.Warn("node name is taken, waiting", zap.String("holder", n.Instance), zap.String("address", n.Address),
				zap.Duration("remaining", d.remaining(ctx, n)), zap.NamedError("unreadable", err))
		}
		return true
	})
}

// remaining is how long a silent holder keeps the name.
func (d *Dispatcher) remaining(ctx context.Context, n record.Node) time.Duration {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := d.cfg.Client.TimeToLive(ctx, clientv3.LeaseID(n.Lease))
	if err != nil {
		return n.TTL
	}
	return time.Duration(max(r.TTL, 0)) * time.Second
}

// bury ends the session of a process that is known to be gone: marked, so that its spans are placed again at once,
// then revoked. The key stays on its own lease: nobody attaches a key to another's.
func (d *Dispatcher) bury(ctx context.Context, v sight, n record.Node) {
	d.log.Info("taking the name over from a process that is gone", zap.String("holder", n.Instance))
	n.Ended = record.EndedDead
	key := string(v.kv.Key)
	_ = retry(ctx, d.log, "end of the former session", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		_, err := d.cfg.Client.Txn(ctx).
			If(clientv3.Compare(clientv3.CreateRevision(key), "=", v.kv.CreateRevision)).
			Then(clientv3.OpPut(key, string(record.EncodeNode(n)), clientv3.WithIgnoreLease())).
			Commit()
		if err != nil {
			return fmt.Errorf("mark: %w", err)
		}
		return revoked(ctx, d.cfg.Client, clientv3.LeaseID(n.Lease))
	})
}
