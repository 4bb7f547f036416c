package main

import (
	"context"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/leases"
	"github.com/spanward/spanward/workload/events"
	"github.com/spanward/spanward/workload/gate"
	"github.com/spanward/spanward/workload/mirror"
)

type dispatcherCommand struct {
	serveFlags
	workloads    []string
	dataDir      string
	labels       []string
	capacity     int64
	drainTimeout time.Duration
	eventsFile   string
	gateDir      string
	source, dest etcdFlags
}

func (a *app) newDispatcher() *cobra.Command {
	var d dispatcherCommand
	cmd := &cobra.Command{
		Use:   "dispatcher --name N --workload W",
		Short: "run a worker, which runs the workload of spans",
		Long: `Run a worker, which runs the workload of the spans that the leader gives it.

On SIGTERM and Ctrl-C it closes its spans and hands them back. With --drain-timeout the leader first moves them elsewhere, so
that none waits for a new owner longer than it takes to open it there; what is left after that time is closed and handed
back. The drain ends with the process: after a restart it is a node like any other. A second signal kills. After a crash its spans run elsewhere
once its session has expired, or as soon as it is started again on the same host with the same --data-dir.`,
		Example: `  spanward dispatcher --name n1 --etcd http://127.0.0.1:2379 --workload mirror --data-dir /var/lib/spanward/n1
  spanward dispatcher --name t1 --workload gate --gate-dir /tmp/gate --events-file /tmp/t1.jsonl`,
		Args: exactly(),
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.serveDispatcher(ctx, &d) }),
	}
	d.register(cmd)
	flags := cmd.Flags()
	flags.StringSliceVar(&d.workloads, "workload", nil, "workloads to offer: mirror, gate (required)")
	flags.StringVar(&d.dataDir, "data-dir", "", "directory to lock: a restart after a crash need not wait for the old session")
	flags.StringArrayVar(&d.labels, "label", nil, "label k=v; may be repeated")
	flags.Int64Var(&d.capacity, "capacity", 0, "most spans to run; 0 is no limit")
	flags.DurationVar(&d.drainTimeout, "drain-timeout", 0, "how long a clean stop may first move spans elsewhere; 0s closes them at once and hands them back")
	flags.StringVar(&d.eventsFile, "events-file", "", "file to append a JSON line to for every change of what is owned")
	flags.StringVar(&d.gateDir, "gate-dir", "", "directory that steers the gate workload; without one it opens and closes at once")
	d.source.register(flags, "source")
	d.dest.register(flags, "dest")
	_ = cmd.RegisterFlagCompletionFunc("workload", cobra.FixedCompletions(workloadNames(), cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func workloadNames() []string { return []string{"gate", "mirror"} }

func (a *app) serveDispatcher(ctx context.Context, f *dispatcherCommand) error {
	if err := f.check(); err != nil {
		return err
	}
	labels, err := keyValues("--label", f.labels)
	if err != nil {
		return err
	}
	b, err := a.bring(ctx, &f.serveFlags, "dispatcher")
	if err != nil {
		return err
	}
	defer b.close()
	w, err := f.bringWorkloads(b)
	if err != nil {
		return err
	}
	defer w.close()
	address := f.announced(b.listener)
	d, err := dispatcher.New(dispatcher.Config{
		Cluster: b.layout, Name: f.name, Advertise: address, Client: b.etcd, TTL: f.ttl, DataDir: f.dataDir, Labels: labels,
		Capacity: f.capacity, Version: ownVersion().Version, TLS: b.clientTLS,
		Clock: leases.Boottime, Logger: b.log, Failpoints: b.failpoints, Observer: w,
	}, w.offered)
	if err != nil {
		return misconfigured(err)
	}
	role, done, err := f.draining(b, d)
	if err != nil {
		return err
	}
	defer done()
	b.http.watch(watched{alive: func() error { return nil }, ready: d.Ready}, dispatcherNumbers(d))
	helpers := append(w.helpers, b.http, healthServer(b), b.announce(&f.serveFlags, address, w.registered))
	return serveAll(ctx, b.log, role, helpers...)
}

func (f *dispatcherCommand) check() error {
	if len(f.workloads) == 0 {
		return fault.New(fault.InvalidArgument, "is missing").On("--workload", "").Fix("use %s", strings.Join(workloadNames(), ", "))
	}
	for _, name := range f.workloads {
		if !slices.Contains(workloadNames(), name) {
			return fault.New(fault.InvalidArgument, "is not a workload").On("--workload", name).Fix("use %s", strings.Join(workloadNames(), ", "))
		}
	}
	if f.capacity < 0 {
		return fault.New(fault.InvalidArgument, "is negative").On("--capacity", strconv.FormatInt(f.capacity, 10)).Fix("use 0 for no limit")
	}
	if f.drainTimeout < 0 {
		return fault.New(fault.InvalidArgument, "is negative").On("--drain-timeout", f.drainTimeout.String()).Fix("use 0s for not at all")
	}
	return f.serveFlags.check()
}

// workloads is what a dispatcher offers, and what watches it.
type workloads struct {
	*events.Recorder
	offered map[string]dispatcher.Workload
	helpers []server
	files   []io.Closer

	once       sync.Once
	registered chan struct{}
}

// Renewed is first called when the node has registered.
func (w *workloads) Renewed(mayActUntil time.Duration) {
	w.once.Do(func() { close(w.registered) })
	w.Recorder.Renewed(mayActUntil)
}

func (w *workloads) close() {
	for _, f := range w.files {
		_ = f.Close() // every line was written when it happened
	}
}

func (f *dispatcherCommand) bringWorkloads(b *baggage) (_ *workloads, err error) {
	w := &workloads{offered: map[string]dispatcher.Workload{}, registered: make(chan struct{})}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if w.Recorder, err = events.New(events.Config{Clock: leases.Boottime, Log: b.log}); err != nil {
		return nil, err
	}
	var all []io.Writer
	if f.eventsFile != "" {
		sink, err := w.open("--events-file", f.eventsFile)
		if err != nil {
			return nil, err
		}
		all = append(all, sink)
	}
	for _, name := range f.workloads {
		one, sinks, err := f.workload(w, name, b)
		if err != nil {
			return nil, err
		}
		if sinks = append(sinks, all...); len(sinks) > 0 {
			one = w.Wrap(one, sinks...)
		}
		w.offered[name] = one
	}
	return w, nil
}

func (w *workloads) open(flag, path string) (*os.File, error) {
	file, err := events.OpenFile(path)
	if err != nil {
		return nil, fault.New(fault.InvalidArgument, "%s", err).On(flag, path).Fix("name a file that can be written").Because(err)
	}
	w.files = append(w.files, file)
	return file, nil
}

// workload makes one workload, with the sinks of its own for its events.
func (f *dispatcherCommand) workload(w *workloads, name string, b *baggage) (dispatcher.Workload, []io.Writer, error) {
	if name == "mirror" {
		m, err := mirror.New(mirror.Config{Log: b.log, Source: f.source.auth(), Dest: f.dest.auth()})
		return m, nil, err
	}
	g, err := gate.New(gate.Config{Dir: f.gateDir, Log: b.log})
	if err != nil {
		return nil, nil, fault.New(fault.InvalidArgument, "%s", err).On("--gate-dir", f.gateDir).Fix("name a directory that can be written").Because(err)
	}
	w.helpers = append(w.helpers, g)
	if f.gateDir == "" {
		return g, nil, nil
	}
	sink, err := w.open("--gate-dir", gate.EventsPath(f.gateDir))
	return g, []io.Writer{sink}, err
}

// auth is how a mirror's etcd is accessed when a keyspace does not say.
func (f *etcdFlags) auth() mirror.Auth {
	return mirror.Auth{CACert: f.cacert, Cert: f.cert, Key: f.key, User: f.user, PasswordFile: f.passwordFile}
}

// healthServer answers at the announced address, so that whoever looks a key up finds somebody there.
func healthServer(b *baggage) server {
	return serveFunc(func(ctx context.Context) error {
		creds := insecure.NewCredentials()
		if b.serverTLS != nil {
			creds = credentials.NewTLS(b.serverTLS)
		}
		s := grpc.NewServer(grpc.Creds(creds))
		grpc_health_v1.RegisterHealthServer(s, health.NewServer())
		stop := context.AfterFunc(ctx, s.Stop)
		defer stop()
		return s.Serve(b.listener)
	})
}
