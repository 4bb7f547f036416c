package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/spanward/spanward/internal/fault"
)

type devCommand struct {
	maintainers, dispatchers int
	dir                      string
	ttl                      time.Duration
}

// maxDev bounds the processes of each kind: more than this is a mistake on one machine.
const maxDev = 50

func (a *app) newDev() *cobra.Command {
	var d devCommand
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "run a whole cluster on this machine, to play with",
		Long: `Run a whole cluster on this machine: an etcd for the cluster, two more as source and destination of a mirror, maintainers
and dispatchers, each in a process of its own, and some traffic at the source.

Kill any of them: it is started again after a moment, as a supervisor would. Ctrl-C stops everything; the next start with the
same directory goes on where this one has stopped. All listen on 127.0.0.1 only.`,
		Example: "  spanward dev\n  spanward dev --maintainers 1 --dispatchers 5 --dir /tmp/play",
		Args:    exactly(),
		RunE:    a.action(func(ctx context.Context, _ []string) error { return a.runDev(ctx, d) }),
	}
	flags := cmd.Flags()
	flags.IntVar(&d.maintainers, "maintainers", 3, "number of maintainers")
	flags.IntVar(&d.dispatchers, "dispatchers", 3, "number of dispatchers")
	flags.StringVar(&d.dir, "dir", defaultDevDir(), "directory for data and logs")
	flags.DurationVar(&d.ttl, "session-ttl", 5*time.Second, "session TTL of maintainers and dispatchers")
	return cmd
}

// defaultDevDir is the same at every start, and another one for every user.
func defaultDevDir() string {
	return filepath.Join(os.TempDir(), "spanward-dev-"+strconv.Itoa(os.Getuid()))
}

func (d devCommand) check() error {
	for _, n := range []struct {
		flag  string
		value int
	}{{"--maintainers", d.maintainers}, {"--dispatchers", d.dispatchers}} {
		if n.value < 1 || n.value > maxDev {
			return fault.New(fault.InvalidArgument, "is not a number of processes").On(n.flag, strconv.Itoa(n.value)).
				Fix("use 1 to %d", maxDev)
		}
	}
	return nil
}

// The etcds of a dev cluster.
const (
	devControl = "etcd"
	devSource  = "source"
	devDest    = "dest"
)

// devCluster is all processes of one dev cluster.
type devCluster struct {
	devCommand
	app  *app
	home *devHome
	sup  *supervisor
	// urls of the etcds, by name.
	urls map[string]string
	// describing keeps an older description from replacing a newer one.
	describing sync.Mutex
}

func (a *app) runDev(ctx context.Context, f devCommand) error {
	if err := f.check(); err != nil {
		return err
	}
	home, err := openDevHome(f.dir)
	if err != nil {
		return err
	}
	defer home.close()
	sup, err := newSupervisor(home, a.timed)
	if err != nil {
		return err
	}
	d := &devCluster{devCommand: f, app: a, home: home, sup: sup}
	// The workers go before the etcds, so that they can hand their spans back.
	defer sup.stop()
	if err := d.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	return d.live(ctx)
}

// start brings everything up, and returns when it serves.
func (d *devCluster) start(ctx context.Context) error {
	d.app.note("starting in %s …", d.home.dir)
	if err := d.startEtcds(ctx); err != nil {
		return err
	}
	cluster := d.app.cluster.name
	for n := range d.maintainers {
		name := fmt.Sprintf("m%d", n+1)
		d.sup.run(roleMaintainer, name, "maintainer", "--cluster", cluster, "--etcd", d.urls[devControl], "--session-ttl", d.ttl.String(), "--http-listen", "127.0.0.1:0")
	}
	for n := range d.dispatchers {
		name := fmt.Sprintf("n%d", n+1)
		d.sup.run(roleDispatcher, name, "dispatcher", "--cluster", cluster, "--etcd", d.urls[devControl], "--session-ttl", d.ttl.String(), "--http-listen", "127.0.0.1:0",
			"--workload", "mirror,gate", "--data-dir", d.home.path(name), "--gate-dir", d.home.path("gate"),
			"--events-file", d.home.path(name+".events.jsonl"))
	}
	return d.sup.ready(ctx)
}

func (d *devCluster) startEtcds(ctx context.Context) error {
	d.urls = map[string]string{}
	addresses, err := d.home.addresses(devControl, devSource, devDest)
	if err != nil {
		return err
	}
	for _, name := range []string{devControl, devSource, devDest} {
		d.urls[name] = "http://" + addresses[name]
		d.sup.run(roleEtcd, name, "etcd", "--data-dir", d.home.path(name), "--listen-client", addresses[name],
			"--unsafe-no-fsync", "--auto-compaction", "24h")
	}
	return d.sup.ready(ctx)
}

// live goes on until the user has had enough.
func (d *devCluster) live(ctx context.Context) error {
	if err := d.describe(); err != nil {
		return err
	}
	d.sup.changed(d.describe)
	d.greet()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.mirror(ctx) })
	g.Go(func() error { return d.traffic(ctx) })
	g.Go(func() error { return d.watch(ctx) })
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	d.app.note("stopping …")
	return err
}

// greet says what there is, and what may be tried.
func (d *devCluster) greet() {
	w := d.app.stdout
	p := d.app.program
	fmt.Fprintf(w, "\n%d maintainers, %d dispatchers and a mirror from source to dest; data and logs are in %s\n\n", d.maintainers, d.dispatchers, d.home.dir)
	for _, c := range d.sup.list() {
		is := c.now()
		line := fmt.Sprintf("  %-8s pid %-8d %s", c.name, is.PID, is.Address)
		if is.HTTP != "" {
			line += fmt.Sprintf("   http://%s/metrics", is.HTTP)
		}
		fmt.Fprintln(w, line)
	}
	fmt.Fprintf(w, "\nexport SPANWARD_ETCD=%s\n", d.urls[devControl])
	if d.app.cluster.name != defaultCluster {
		fmt.Fprintf(w, "export SPANWARD_CLUSTER=%s\n", d.app.cluster.name)
	}
	fmt.Fprint(w, "\nTry in another terminal, after that export:\n\n")
	for _, line := range [][2]string{
		{p + " status", "who leads, and how all is"},
		{p + " span list", "what runs where, and how far behind it is"},
		{p + " operator watch", "every change, as it happens"},
		{fmt.Sprintf("kill -9 %d", d.pid("m1")), "a maintainer; another one leads at once if it did"},
		{fmt.Sprintf("kill -9 %d", d.pid("n1")), "a dispatcher; its spans run elsewhere once it is known to be gone"},
		{p + " mirror diff " + devKeyspace, "source and dest hold the same"},
		{p + " check", "no invariant was violated meanwhile"},
	} {
		fmt.Fprintf(w, "  %-34s # %s\n", line[0], line[1])
	}
	fmt.Fprint(w, "\nCtrl-C stops everything.\n\n")
}

func (d *devCluster) pid(name string) int {
	for _, c := range d.sup.list() {
		if c.name == name {
			return c.now().PID
		}
	}
	return 0
}

// describe writes dev.json, again whenever a process has been replaced.
func (d *devCluster) describe() error {
	d.describing.Lock()
	defer d.describing.Unlock()
	j := devJSON{
		Etcd: d.urls[devControl], Source: d.urls[devSource], Dest: d.urls[devDest], PID: os.Getpid(),
		Maintainers: []ready{}, Dispatchers: []ready{}, Etcds: []ready{},
	}
	for _, c := range d.sup.list() {
		switch c.role {
		case roleMaintainer:
			j.Maintainers = append(j.Maintainers, c.now())
		case roleDispatcher:
			j.Dispatchers = append(j.Dispatchers, c.now())
		case roleEtcd:
			j.Etcds = append(j.Etcds, c.now())
		}
	}
	return d.home.write(j)
}
