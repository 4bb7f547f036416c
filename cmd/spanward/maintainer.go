package main

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/settings"
	"github.com/spanward/spanward/maintainer"
	"github.com/spanward/spanward/workload/mirror"
)

type maintainerCommand struct {
	serveFlags
	historyAge   time.Duration
	historyCount int
	openTimeout  time.Duration
	closeTimeout time.Duration
}

func (a *app) newMaintainer() *cobra.Command {
	var m maintainerCommand
	cmd := &cobra.Command{
		Use:   "maintainer --name N",
		Short: "run a replica of the control plane",
		Long: `Run a replica of the control plane. One of all replicas leads, the others stand by.

The history and timeout flags count where ` + "`spanward config set`" + ` has stored nothing, while this replica leads.

On SIGTERM and Ctrl-C a leader resigns in favour of another. A second signal kills.`,
		Example: `  spanward maintainer --name m1 --etcd http://127.0.0.1:2379
  spanward maintainer --name m1 --listen 10.0.0.1:7070 --tls-cert m1.pem --tls-key m1.key --tls-ca ca.pem --tls-client-ca ca.pem`,
		Args: exactly(),
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.serveMaintainer(ctx, &m) }),
	}
	m.register(cmd)
	standard := settings.Defaults()
	cmd.Flags().DurationVar(&m.historyAge, "history-age", standard.HistoryAge,
		"how long finished operators are remembered, and their request ids; at least 5m")
	cmd.Flags().IntVar(&m.historyCount, "history-count", standard.HistoryCount, "how many of them are remembered for each keyspace; 1 to 1000000")
	cmd.Flags().DurationVar(&m.openTimeout, "open-timeout", standard.OpenTimeout,
		"how long one span may take to open, while no copy gets further, before it is tried elsewhere; of one keyspace: --set open-timeout=5m")
	cmd.Flags().DurationVar(&m.closeTimeout, "close-timeout", standard.CloseTimeout,
		"how long one span may take to close before it is shown as stuck; of one keyspace: --set close-timeout=5m")
	fromEnv(cmd.Flags(), "history-age", "history-count", "open-timeout", "close-timeout")
	return cmd
}

// checkHistory refuses zero, which a configuration would take for the default.
func (m *maintainerCommand) checkHistory() error {
	if m.historyAge < 5*time.Minute {
		return fault.New(fault.InvalidArgument, "is too short").On("--history-age", m.historyAge.String()).
			Fix("use at least 5m: a command that is repeated with its --request-id after that is carried out again")
	}
	if m.historyCount < 1 || m.historyCount > 1_000_000 {
		return fault.New(fault.InvalidArgument, "is not from 1 to 1000000").On("--history-count", strconv.Itoa(m.historyCount)).
			Fix("use 10000, say: as many finished operators of each keyspace are remembered")
	}
	return nil
}

// checkTimeouts refuses zero, too.
func (m *maintainerCommand) checkTimeouts() error {
	for flag, d := range map[string]time.Duration{"--open-timeout": m.openTimeout, "--close-timeout": m.closeTimeout} {
		if d <= 0 || d > 24*time.Hour {
			return fault.New(fault.InvalidArgument, "is not between 0 and 24h").On(flag, d.String()).
				Fix("use 1m, say; spans that wait for a slow workload need more")
		}
	}
	return nil
}

func (a *app) serveMaintainer(ctx context.Context, f *maintainerCommand) error {
	if err := cmp.Or(f.checkHistory(), f.checkTimeouts()); err != nil {
		return err
	}
	b, err := a.bring(ctx, &f.serveFlags, "maintainer")
	if err != nil {
		return err
	}
	defer b.close()
	address := f.announced(b.listener)
	standard := settings.Defaults()
	m, err := maintainer.New(maintainer.Config{
		Layout: b.layout, Name: f.name, Advertise: address, Listener: b.listener, ServerTLS: b.serverTLS, TLS: b.clientTLS,
		Client: b.etcd, Version: ownVersion().Version, Logger: b.log, Failpoints: b.failpoints, TTL: f.ttl,
		HistoryAge: unless(f.historyAge, standard.HistoryAge), HistoryCount: unless(f.historyCount, standard.HistoryCount),
		OpenTimeout: unless(f.openTimeout, standard.OpenTimeout), CloseTimeout: unless(f.closeTimeout, standard.CloseTimeout),
		Validators: map[string]maintainer.Validator{mirror.Name: mirror.Validate},
	})
	if err != nil {
		return misconfigured(err)
	}
	b.http.watch(watched{alive: m.Alive, ready: m.Ready}, maintainerNumbers(m))
	return serveAll(ctx, b.log, m, b.http, b.announce(&f.serveFlags, address, b.listener.accepting))
}

// unless leaves a flag out that says what counts anyway.
func unless[T comparable](given, standard T) T {
	if given == standard {
		var none T
		return none
	}
	return given
}

// misconfigured gives what a constructor has refused the exit code of usage.
func misconfigured(err error) error {
	if _, ok := fault.As(err); ok {
		return err
	}
	return fault.New(fault.InvalidArgument, "%s", err).Fix("correct the flags").Because(err)
}
