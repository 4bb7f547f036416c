package mirror

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

// Name is what the workload is called in keyspaces and flags.
const Name = "mirror"

// Config is what a process brings along.
type Config struct {
	// Log is required.
	Log *zap.Logger
	// Source and Dest are how etcds are accessed when a keyspace's settings do not say.
	Source, Dest Auth
	// Connect makes clients; nil connects over the network. It may be called again for the same etcd.
	Connect func(context.Context, Etcd) (*clientv3.Client, error)
}

// A Workload mirrors spans. It holds connections only while spans are open.
type Workload struct {
	cfg  Config
	pool *pool
}

var (
	_ dispatcher.Workload = (*Workload)(nil)
	_ dispatcher.CloserAt = (*instance)(nil)
)

// New makes the workload; it starts nothing.
func New(cfg Config) (*Workload, error) {
	if cfg.Log == nil {
		return nil, errors.New("mirror: no logger")
	}
	if cfg.Connect == nil {
		cfg.Connect = connect
	}
	return &Workload{cfg: cfg, pool: &pool{connect: cfg.Connect, open: make(map[string]*shared)}}, nil
}

// Open fences the destination and starts to mirror the span's range. It needs both etcds: a span that cannot reach
// them opens elsewhere, perhaps.
func (w *Workload) Open(ctx context.Context, t dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	s, err := parse(t.Settings, w.cfg.Source, w.cfg.Dest)
	if err != nil {
		return nil, err
	}
	if t.Token == 0 {
		return nil, fault.New(fault.Internal, "a span needs a token to be mirrored").On("span", string(t.Span))
	}
	src, free, err := w.pool.get(ctx, s.source, 0)
	if err != nil {
		return nil, err
	}
	in := &instance{
		r: t.Range, m: s.mapping, rep: r, src: &src.source, free: free, meter: newMeter(r, t.From, s.load),
		log: w.cfg.Log.Named(Name).With(zap.String("keyspace", t.Keyspace), zap.String("span", string(t.Span))),
	}
	if err := w.attach(ctx, in, t, s); err != nil {
		in.free()
		return nil, err
	}
	in.start(context.WithoutCancel(ctx))
	return in, nil
}

// attach connects the instance to its source and takes over its range at the destination.
func (w *Workload) attach(ctx context.Context, in *instance, t dispatcher.Task, s settings) error {
	head, cluster, err := in.src.head(ctx, in.r)
	if err != nil {
		return err
	}
	in.cluster = cluster
	if t.From.Known && t.From.At > uint64(head) { //nolint:gosec // revisions are positive
		return otherSource("the span is at revision %d and the source only at %d: it was restored from a backup", t.From.At, head)
	}
	own := segment{
		ID: segmentID(t.Token, string(t.Span)), Token: t.Token, Range: t.Range, Mapping: s.mapping, Source: cluster, Span: string(t.Span), Node: t.Node,
	}
	if s.dir != "" {
		in.sink, err = openFile(ctx, fileConfig{dir: s.dir, name: t.Cluster + "." + t.Keyspace, own: own, trust: trusted(t), m: s.mapping})
		return err
	}
	return w.attachEtcd(ctx, in, t, s, own)
}

// trusted says whose positions at the destination a span goes on from.
func trusted(t dispatcher.Task) trust {
	return trust{all: t.From.Known, spans: append(slices.Clone(t.Parents), string(t.Span))}
}

func (w *Workload) attachEtcd(ctx context.Context, in *instance, t dispatcher.Task, s settings, own segment) error {
	dst, free, err := w.pool.get(ctx, s.dest, s.compact)
	if err != nil {
		return err
	}
	freeSource := in.free
	in.free = func() { free(); freeSource() }
	f := fencer{kv: dst.c, keys: newLayout(t.Cluster, t.Keyspace)}
	f.all = dst.lister(f.keys.prefix)
	if s.leases {
		in.leases = newLeaseCopier(in.src.c, dst.c)
	}
	seg, rev, err := f.open(ctx, own, trusted(t))
	if err != nil {
		return fmt.Errorf("take over %s: %w", t.Range, err)
	}
	if err := sameEtcd(ctx, in.src, f, seg, rev, s.mapping); err != nil {
		return err
	}
	sink := &etcdSink{f: f, m: s.mapping, seg: seg, rev: rev, leases: in.leases, ops: batchOps, bytes: batchBytes}
	in.sink = sink
	if seg.Leased && seg.Parts != nil {
		// Leases may have ended while nobody kept them alive: what is there must be compared.
		return sink.store(ctx, nil, true)
	}
	return nil
}

// sameEtcd refuses to write what is read. Cluster ids do not tell: all etcds that were started with the defaults have
// the same one. But where the fence that was just put can be read at the source, source and destination are one.
func sameEtcd(ctx context.Context, src *source, f fencer, own segment, rev int64, m mapping) error {
	refused := m.disjoint([]span.Range{own.Range}, []span.Range{own.Range})
	if refused == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := src.c.Get(ctx, f.keys.fence(own.ID))
	if errors.Is(err, rpctypes.ErrPermissionDenied) {
		return fmt.Errorf("source: its user may not read %s, so nobody can tell whether source and destination are one etcd; let it, or use a dest-prefix: %w", f.keys.prefix, err)
	}
	if err != nil {
		return fmt.Errorf("find out whether source and destination are one etcd: source: %w", err)
	}
	if len(r.Kvs) == 0 || r.Kvs[0].ModRevision != rev {
		return nil
	}
	return refused
}
