package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/spanward/spanward/internal/fault"
)

type etcdServer struct {
	serveFlags
	dataDir        string
	clients, peers string
	initialCluster string
	quota          int64
	compaction     time.Duration
	noFsync        bool
}

// etcdStart bounds the wait for a leader; a member of a new cluster waits for the others.
const etcdStart = time.Minute

func (a *app) newEtcd() *cobra.Command {
	var s etcdServer
	cmd := &cobra.Command{
		Use:   "etcd --data-dir DIR",
		Short: "run a real etcd server",
		Long: `Run a real etcd server, for development and tests, or where none is at hand.

Without --initial-cluster it is a cluster of its own, and needs no address for peers.`,
		Example: `  spanward etcd --data-dir /var/lib/spanward/etcd
  spanward etcd --data-dir d1 --name e1 --listen-client 127.0.0.1:2379 --listen-peer 127.0.0.1:2380 \
    --initial-cluster e1=http://127.0.0.1:2380,e2=http://127.0.0.1:2480,e3=http://127.0.0.1:2580`,
		Args: exactly(),
		RunE: a.action(func(ctx context.Context, _ []string) error { return a.serveEtcd(ctx, &s) }),
	}
	flags := cmd.Flags()
	flags.StringVar(&s.dataDir, "data-dir", "", "directory of the data (required)")
	flags.StringVar(&s.name, "name", "default", "name of the member")
	flags.StringVar(&s.clients, "listen-client", "127.0.0.1:2379", "address for clients; port 0 chooses a free one")
	flags.StringVar(&s.peers, "listen-peer", "", "address for other members (default: a free port of this host)")
	flags.StringVar(&s.initialCluster, "initial-cluster", "", "all members of a new cluster, name=URL,…")
	flags.Int64Var(&s.quota, "quota", 0, "bytes that the database may have; 0 is etcd's default, 2 GiB")
	flags.DurationVar(&s.compaction, "auto-compaction", 0, "how much history to keep; 0 keeps all")
	flags.BoolVar(&s.noFsync, "unsafe-no-fsync", false, "do not wait for the disk: faster, and a crash of the host loses data")
	flags.StringVar(&s.clientCA, "tls-client-ca", "", "file with the CA that clients' certificates must come from")
	s.registerCommon(cmd)
	return cmd
}

func (a *app) serveEtcd(ctx context.Context, s *etcdServer) error {
	log, err := s.log.logger(a.stderr)
	if err != nil {
		return err
	}
	// etcd tells much about itself that nobody has asked for: while it starts only errors matter, and while it stops
	// not even those, which are about its own closed sockets.
	calm := zap.NewAtomicLevelAt(zap.ErrorLevel)
	cfg, err := s.config(a.cluster.tls, log.Named("etcd").WithOptions(zap.IncreaseLevel(calm)))
	if err != nil {
		return err
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return fault.New(fault.Failed, "etcd does not start: %s", err).On("--data-dir", s.dataDir).
			Fix("see the log; is another etcd using the directory or the address?").Because(err)
	}
	defer e.Close()
	defer calm.SetLevel(zapcore.DPanicLevel)
	if err := awaitEtcd(ctx, e); err != nil {
		return err
	}
	address := e.Clients[0].Addr().String()
	if err := writeReady(s.readyFile, newReady(s.name, address)); err != nil {
		return err
	}
	calm.SetLevel(zap.WarnLevel)
	log.Info("etcd serves", zap.String("name", s.name), zap.String("address", address), zap.String("data_dir", s.dataDir))
	select {
	case <-ctx.Done():
		log.Info("etcd stops", zap.String("name", s.name))
		return nil
	case err := <-e.Err():
		return fmt.Errorf("etcd stopped: %w", err)
	}
}

func awaitEtcd(ctx context.Context, e *embed.Etcd) error {
	ctx, cancel := context.WithTimeout(ctx, etcdStart)
	defer cancel()
	select {
	case <-e.Server.ReadyNotify():
		return nil
	case <-e.Server.StopNotify():
		return errors.New("etcd stopped while it started")
	case err := <-e.Err():
		return fmt.Errorf("etcd stopped while it started: %w", err)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.Canceled) {
			return nil
		}
		return fault.New(fault.Timeout, "etcd has no leader after %s", etcdStart).Fix("start the other members of --initial-cluster")
	}
}

func (s *etcdServer) config(t tlsFlags, log *zap.Logger) (*embed.Config, error) {
	if s.dataDir == "" {
		return nil, fault.New(fault.InvalidArgument, "is missing").On("--data-dir", "").Fix("name a directory for the data")
	}
	secure, err := t.server(s.clientCA)
	if err != nil {
		return nil, err
	}
	clients, err := s.listenURL("--listen-client", s.clients, secure != nil)
	if err != nil {
		return nil, err
	}
	peers, err := s.peerURL()
	if err != nil {
		return nil, err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir = s.name, s.dataDir
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{clients}, []url.URL{clients}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = []url.URL{peers}, []url.URL{peers}
	cfg.InitialCluster = s.initialCluster
	if s.initialCluster == "" {
		cfg.InitialCluster = cfg.InitialClusterFromName(s.name)
		// The ids of a new cluster are made from its token and its peers' URLs, and all clusters of one share theirs:
		// a mirror would take its source and its destination for the same etcd. Old data keeps its ids.
		cfg.InitialClusterToken = uuid.NewString()
	}
	if secure != nil {
		cfg.ClientTLSInfo = transport.TLSInfo{
			CertFile: t.cert, KeyFile: t.key, TrustedCAFile: s.clientCA, ClientCertAuth: s.clientCA != "",
		}
	}
	if s.quota > 0 {
		cfg.QuotaBackendBytes = s.quota
	}
	if s.compaction > 0 {
		cfg.AutoCompactionMode, cfg.AutoCompactionRetention = embed.CompactorModePeriodic, s.compaction.String()
	}
	cfg.UnsafeNoFsync = s.noFsync
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(log)
	return cfg, nil
}

// peerURL is where other members connect. A cluster of one has none, but etcd wants to listen.
func (s *etcdServer) peerURL() (url.URL, error) {
	if s.peers == "" {
		if s.initialCluster != "" {
			return url.URL{}, fault.New(fault.InvalidArgument, "is missing").On("--listen-peer", "").
				Fix("give the address that --initial-cluster has for %s", s.name)
		}
		return url.URL{Scheme: "http", Host: "127.0.0.1:0"}, nil
	}
	return s.listenURL("--listen-peer", s.peers, false)
}

// listenURL accepts HOST:PORT, and URLs for those who are used to etcd's flags.
func (s *etcdServer) listenURL(flag, text string, secure bool) (url.URL, error) {
	scheme := "http"
	if secure {
		scheme = "https"
	}
	host := strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://")
	if err := s.allowed(flag, host, secure); err != nil {
		return url.URL{}, err
	}
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		return url.URL{}, fault.New(fault.InvalidArgument, "is not HOST:PORT").On(flag, text).Fix("write 127.0.0.1:2379, say")
	}
	if name == "localhost" {
		name = "127.0.0.1" // etcd listens at addresses only
	}
	return url.URL{Scheme: scheme, Host: net.JoinHostPort(name, port)}, nil
}
