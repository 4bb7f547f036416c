package etcdx_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/fault"
)

// mustConnect connects and writes a key.
func mustConnect(t *testing.T, cfg etcdx.Config) {
	t.Helper()
	c, err := etcdx.Connect(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// A cluster that has just lost a member may be electing a leader, and fails requests meanwhile.
	for {
		_, err := c.Put(ctx, "k", "v")
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

// mustRefuse expects a fault that mentions all of what a user needs to know.
func mustRefuse(t *testing.T, cfg etcdx.Config, reason fault.Reason, mentions ...string) {
	t.Helper()
	c, err := etcdx.Connect(t.Context(), cfg)
	if err == nil {
		_ = c.Close()
		t.Fatalf("connected, want %s", reason)
	}
	if !fault.Is(err, reason) {
		t.Errorf("want %s, got %v", reason, err)
	}
	if f, _ := fault.As(err); f != nil && (f.Remedy == "" || f.Field == "") {
		t.Errorf("no remedy or no field: %v", err)
	}
	for _, m := range mentions {
		if !strings.Contains(err.Error(), m) {
			t.Errorf("%q is not mentioned in: %v", m, err)
		}
	}
}

func TestConnect(t *testing.T) {
	etcd := etcdtest.Start(t)
	mustConnect(t, etcdx.Config{Endpoints: etcd.Endpoints()})
	mustConnect(t, etcdx.Config{Endpoints: []string{etcd.Address()}})
	mustConnect(t, etcdx.Config{Endpoints: []string{etcd.Address(), etcd.Endpoints()[0] + "/"}})
	// An account that an etcd without accounts does not need.
	mustConnect(t, etcdx.Config{Endpoints: etcd.Endpoints(), User: "ann", PasswordFile: file(t, "secret")})
}

func TestConnectWithTLS(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.WithTLS())
	mine, other := etcd.Files(), etcdtest.NewFiles(t)
	good := etcdx.Config{Endpoints: []string{etcd.Address()}, CACert: mine.CACert, Cert: mine.Cert, Key: mine.Key}
	mustConnect(t, good)
	mustRefuse(t, etcdx.Config{Endpoints: good.Endpoints, CACert: mine.CACert}, fault.EtcdAuth, etcd.Address(), "--etcd-cert")
	mustRefuse(t, etcdx.Config{Endpoints: good.Endpoints, CACert: other.CACert, Cert: mine.Cert, Key: mine.Key}, fault.EtcdAuth, "--etcd-cacert")
	mustRefuse(t, etcdx.Config{Endpoints: good.Endpoints, CACert: mine.CACert, Cert: other.Cert, Key: other.Key}, fault.EtcdAuth, "--etcd-cert")
	mustRefuse(t, etcdx.Config{Endpoints: good.Endpoints}, fault.EtcdUnreachable, "TLS")
	mustRefuse(t, etcdx.Config{Endpoints: []string{"http://" + etcd.Address()}, CACert: mine.CACert}, fault.InvalidArgument, "https")
	plain := etcdtest.Start(t)
	mustRefuse(t, etcdx.Config{Endpoints: []string{plain.Address()}, CACert: mine.CACert}, fault.EtcdAuth, plain.Address())
}

func TestConnectWithAccount(t *testing.T) {
	etcd := etcdtest.Start(t, etcdtest.WithAuth("ann", "secret"))
	cfg := etcdx.Config{Endpoints: etcd.Endpoints(), User: "ann", PasswordFile: file(t, "secret\n")}
	mustConnect(t, cfg)
	cfg.PasswordFile = file(t, "wrong")
	mustRefuse(t, cfg, fault.EtcdAuth, "ann", "--etcd-password-file")
	cfg.User = "bob"
	mustRefuse(t, cfg, fault.EtcdAuth, "bob")
	mustRefuse(t, etcdx.Config{Endpoints: etcd.Endpoints(), Flag: "source"}, fault.EtcdAuth, "--source-user")
}

// old is the part of an etcd 3.5 that Connect talks to.
type old struct {
	pb.UnimplementedMaintenanceServer
	version string
}

func (o old) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: &pb.ResponseHeader{ClusterId: 1}, Version: o.version}, nil
}

func startOld(t *testing.T, version string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterMaintenanceServer(s, old{version: version})
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return l.Addr().String()
}

func TestConnectRefusesOldServers(t *testing.T) {
	for _, version := range []string{"3.5.0", "3.6.8", "3.6.9-rc.0", "2.3.8", "unknown"} {
		address := startOld(t, version)
		mustRefuse(t, etcdx.Config{Endpoints: []string{address}}, fault.EtcdTooOld, address, version, "3.6.9")
	}
	for _, version := range []string{"3.6.9", "3.6.10", "3.7.0-alpha.1", "4.0.0", "v3.7.3"} {
		c, err := etcdx.Connect(t.Context(), etcdx.Config{Endpoints: []string{startOld(t, version)}})
		if err != nil {
			t.Errorf("%s: %v", version, err)
			continue
		}
		_ = c.Close()
	}
	// One old member is enough.
	etcd, address := etcdtest.Start(t), startOld(t, "3.5.0")
	mustRefuse(t, etcdx.Config{Endpoints: []string{etcd.Address(), address}}, fault.EtcdTooOld, address)
}

func TestConnectRefusesTwoClusters(t *testing.T) {
	a, b := etcdtest.Start(t), etcdtest.StartCluster(t, 1, etcdtest.WithTick(50*time.Millisecond)).Servers[0]
	if a.Etcd().Cluster().ID() == b.Etcd().Cluster().ID() {
		t.Fatal("the test's clusters are one")
	}
	mustRefuse(t, etcdx.Config{Endpoints: []string{a.Address(), b.Address()}}, fault.WrongCluster, a.Address(), b.Address())
}

func TestConnectToThreeMembers(t *testing.T) {
	c := etcdtest.StartCluster(t, 3)
	mustConnect(t, etcdx.Config{Endpoints: c.Endpoints()})
	c.Servers[1].Stop()
	mustConnect(t, etcdx.Config{Endpoints: c.Endpoints()})
}

func TestConnectToNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	silent := l.Addr().String() // the system accepts connections, and nobody reads them
	defer l.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	_ = closed.Close()

	from := time.Now()
	// The bounds below are far from what is expected, and farther from the patience that is given: they tell at once
	// from after the timeout, on any machine.
	mustRefuse(t, etcdx.Config{Endpoints: []string{nobody}, DialTimeout: time.Minute}, fault.EtcdUnreachable, nobody, "refused")
	if d := time.Since(from); d > 30*time.Second {
		t.Errorf("a refused connection took %v", d)
	}
	from = time.Now()
	mustRefuse(t, etcdx.Config{Endpoints: []string{silent, nobody}, DialTimeout: time.Second}, fault.EtcdUnreachable, silent, nobody, "1s")
	if d := time.Since(from); d > 30*time.Second {
		t.Errorf("a second became %v", d)
	}
	etcd := etcdtest.Start(t)
	from = time.Now()
	mustConnect(t, etcdx.Config{Endpoints: []string{silent, nobody, etcd.Address()}, DialTimeout: time.Minute})
	if d := time.Since(from); d > 30*time.Second {
		t.Errorf("a hanging endpoint delayed the start by %v", d)
	}
}

func TestConnectChecksItsConfig(t *testing.T) {
	files := etcdtest.NewFiles(t)
	const e = "127.0.0.1:1"
	for _, bad := range []string{
		"", ":2379", "127.0.0.1", "ftp://127.0.0.1:2379", "http://127.0.0.1:2379/path", "http://", "127.0.0.1:2379?x=1",
		"http://user@127.0.0.1:2379", "127.0.0.1:port", "127.0.0.1:99999", "a b:1", "::1:2379", "127.0.0.1:",
	} {
		mustRefuse(t, etcdx.Config{Endpoints: []string{bad}}, fault.InvalidArgument, bad, "host:port")
	}
	for name, cfg := range map[string]etcdx.Config{
		"no endpoint":      {},
		"mixed schemes":    {Endpoints: []string{"http://" + e, "https://" + e}},
		"no such CA":       {Endpoints: []string{e}, CACert: filepath.Join(t.TempDir(), "none")},
		"CA is no PEM":     {Endpoints: []string{e}, CACert: file(t, "text")},
		"cert without key": {Endpoints: []string{e}, Cert: files.Cert},
		"key without cert": {Endpoints: []string{e}, Key: files.Key},
		"wrong key":        {Endpoints: []string{e}, Cert: files.Cert, Key: files.ServerKey},
		"no password":      {Endpoints: []string{e}, User: "ann"},
		"no user":          {Endpoints: []string{e}, PasswordFile: file(t, "x")},
		"no such file":     {Endpoints: []string{e}, User: "ann", PasswordFile: filepath.Join(t.TempDir(), "none")},
		"empty password":   {Endpoints: []string{e}, User: "ann", PasswordFile: file(t, "\n")},
	} {
		t.Run(name, func(t *testing.T) { mustRefuse(t, cfg, fault.InvalidArgument) })
	}
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
