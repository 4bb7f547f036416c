package etcdtest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/etcdhttp"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/features"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// settings is what the options choose; the zero value of a field is etcd's default.
type settings struct {
	fsync     bool
	tick      time.Duration
	snapshots uint64
	quota     int64
	progress  time.Duration
	tls       bool
	users     []user
	log       *zap.Logger
}

type user struct{ name, password string }

func newSettings(opts []Option) settings {
	s := settings{tick: defaultTick, log: zap.NewNop()}
	for _, o := range opts {
		o(&s)
	}
	return s
}

const (
	defaultTick   = 100 * time.Millisecond
	electionTicks = 10
	// Like those of a stock etcd: they decide which transactions a test may run and which pings a client may send.
	maxRequestBytes  = 3 << 19
	maxTxnOps        = 128
	minPingInterval  = 5 * time.Second
	startTimeout     = 30 * time.Second
	maxStreams       = 1 << 16
	bcryptCheapest   = 4
	tokenTTLSeconds  = 300
	backendBatch     = 100 * time.Millisecond
	backendBatchSize = 10000
	slowRequest      = time.Second
)

// member says who one etcd server is within its cluster.
type member struct {
	name    string
	dir     string
	peer    url.URL
	client  url.URL
	cluster types.URLsMap
	token   string
}

func (s settings) server(m member) config.ServerConfig {
	return config.ServerConfig{
		Name: m.name, DataDir: m.dir,
		PeerURLs: types.URLs{m.peer}, ClientURLs: types.URLs{m.client},
		InitialPeerURLsMap: m.cluster, InitialClusterToken: m.token, NewCluster: true,
		TickMs: uint(s.tick / time.Millisecond), ElectionTicks: electionTicks, InitialElectionTickAdvance: true, PreVote: true,
		SnapshotCount: orDefault(s.snapshots, etcdserver.DefaultSnapshotCount), SnapshotCatchUpEntries: etcdserver.DefaultSnapshotCatchUpEntries,
		MaxRequestBytes: maxRequestBytes, MaxTxnOps: maxTxnOps, MaxConcurrentStreams: maxStreams, MaxLearners: 1,
		QuotaBackendBytes: s.quota, BackendBatchInterval: backendBatch, BackendBatchLimit: backendBatchSize,
		AuthToken: "simple", BcryptCost: bcryptCheapest, TokenTTL: tokenTTLSeconds,
		WatchProgressNotifyInterval: s.progress, WarningApplyDuration: slowRequest, WarningUnaryRequestDuration: slowRequest,
		UnsafeNoFsync: !s.fsync, Logger: s.log,
		ServerFeatureGate: features.NewDefaultServerFeatureGate(m.name, s.log),
	}
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

// node is one running etcd server with its gRPC services in front.
type node struct {
	etcd    *etcdserver.EtcdServer
	rpc     *grpc.Server
	peers   *http.Server // nil without peers
	serving sync.WaitGroup
}

// startNode serves clients and, unless it is nil, peers. It does not wait until the server has a leader.
func startNode(cfg config.ServerConfig, clients, peers net.Listener, secure *tls.Config) (*node, error) {
	etcd, err := etcdserver.NewServer(cfg)
	if err != nil {
		return nil, fmt.Errorf("new etcd server: %w", err)
	}
	etcd.Start()
	n := &node{etcd: etcd}
	n.rpc = v3rpc.Server(etcd, secure, nil, grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minPingInterval}))
	n.serving.Go(func() { _ = n.rpc.Serve(clients) })
	if peers != nil {
		n.peers = &http.Server{Handler: etcdhttp.NewPeerHandler(cfg.Logger, etcd), ReadHeaderTimeout: startTimeout}
		n.serving.Go(func() { _ = n.peers.Serve(peers) })
	}
	return n, nil
}

// ready waits until the server has published itself, which takes a leader.
func (n *node) ready() error {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case <-n.etcd.ReadyNotify():
		return nil
	case <-n.etcd.StopNotify():
		return errors.New("etcd stopped while starting")
	case <-timeout.C:
		return fmt.Errorf("etcd has no leader after %v", startTimeout)
	}
}

// stop breaks all connections at once and returns when the server has stopped.
func (n *node) stop() {
	n.rpc.Stop()
	if n.peers != nil {
		_ = n.peers.Close()
	}
	n.etcd.HardStop()
	n.serving.Wait()
}
