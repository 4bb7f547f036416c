package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/maintainer"
	"github.com/spanward/spanward/workload/mirror"
)

type maintainerCommand struct{ serveFlags }

func (a *app) newMaintainer() *cobra.Command {
	var m maintainerCommand
	cmd := &cobra.Command{
		Use:   "maintainer --name N",
		Short: "run a replica of the control plane",
		Long: `Run a replica of the control plane. One of all replicas leads, the others stand by.

On SIGTERM and Ctrl-C a leader resigns in favour of another. A second signal kills.`,
		Example: `  spanward maintainer --name m1 --etcd http://127.0.0.1:2379
  spanward maintainer --name m1 --listen 10.0.0.1:7070 --tls-cert m1.pem --tls-key m1.key --tls-ca ca.pem --tls-client-ca ca.pem`,
		Args: exactly(),
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.serveMaintainer(ctx, &m) }),
	}
	m.register(cmd)
	return cmd
}

func (a *app) serveMaintainer(ctx context.Context, f *maintainerCommand) error {
	b, err := a.bring(ctx, &f.serveFlags, "maintainer")
	if err != nil {
		return err
	}
	defer b.close()
	address := f.announced(b.listener)
	m, err := maintainer.New(maintainer.Config{
		Layout: b.layout, Name: f.name, Advertise: address, Listener: b.listener, ServerTLS: b.serverTLS, TLS: b.clientTLS,
		Client: b.etcd, Version: ownVersion().Version, Logger: b.log, Failpoints: b.failpoints, TTL: f.ttl,
		Validators: map[string]maintainer.Validator{mirror.Name: mirror.Validate},
	})
	if err != nil {
		return misconfigured(err)
	}
	b.http.watch(watched{alive: m.Alive, ready: m.Ready}, maintainerNumbers(m))
	return serveAll(ctx, b.log, m, b.http, b.announce(&f.serveFlags, address, b.listener.accepting))
}

// misconfigured gives what a constructor has refused the exit code of usage.
func misconfigured(err error) error {
	if _, ok := fault.As(err); ok {
		return err
	}
	return fault.New(fault.InvalidArgument, "%s", err).Fix("correct the flags").Because(err)
}
