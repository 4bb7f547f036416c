package etcdtest

import (
	"context"
	"crypto/tls"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/etcdx"
)

// setupTimeout bounds what a test does to a server outside its own subject.
const setupTimeout = 10 * time.Second

// Server is an etcd server on a port of 127.0.0.1. It keeps its port and its data over Stop and Restart.
type Server struct {
	settings settings
	member   member
	files    *Files // nil without TLS

	mu   sync.Mutex
	node *node // nil while stopped
}

// Start starts one server and waits until it serves. It stops with the test.
func Start(tb testing.TB, opts ...Option) *Server {
	tb.Helper()
	return StartCluster(tb, 1, opts...).Servers[0]
}

// Cluster is a few servers that replicate the same data.
type Cluster struct{ Servers []*Server }

// StartCluster starts n members and waits until all of them serve. They stop with the test.
func StartCluster(tb testing.TB, n int, opts ...Option) *Cluster {
	tb.Helper()
	set := newSettings(opts)
	var files *Files
	if set.tls {
		files = writeFiles(tb)
	}
	c := &Cluster{}
	clients, peers := make([]net.Listener, n), make([]net.Listener, n)
	everyone := types.URLsMap{}
	for i := range n {
		clients[i], peers[i] = listen(tb, "127.0.0.1:0"), listen(tb, "127.0.0.1:0")
		m := member{name: string(rune('a' + i)), dir: tb.TempDir(), token: tb.Name(), cluster: everyone, peer: httpURL(peers[i], false), client: httpURL(clients[i], set.tls)}
		everyone[m.name] = types.URLs{m.peer}
		c.Servers = append(c.Servers, &Server{settings: set, member: m, files: files})
	}
	for i, s := range c.Servers {
		s.serve(tb, clients[i], peers[i])
		tb.Cleanup(s.Stop)
	}
	for _, s := range c.Servers {
		s.await(tb)
	}
	c.Servers[0].enableAuth(tb)
	return c
}

// Endpoints are the client URLs of all members.
func (c *Cluster) Endpoints() []string {
	var all []string
	for _, s := range c.Servers {
		all = append(all, s.Endpoints()...)
	}
	return all
}

// Client is a new client of all members, closed with the test.
func (c *Cluster) Client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	return c.Servers[0].connect(tb, c.Endpoints())
}

// Leader is the member that leads now, nil if none does.
func (c *Cluster) Leader() *Server {
	for _, s := range c.Servers {
		if e := s.Etcd(); e != nil && e.Leader() == e.MemberID() {
			return s
		}
	}
	return nil
}

// Endpoints are the client URLs of the server.
func (s *Server) Endpoints() []string { return []string{s.member.client.String()} }

// Address is host and port for clients.
func (s *Server) Address() string { return s.member.client.Host }

// Files are the certificates of a server started with [WithTLS].
func (s *Server) Files() Files { return *s.files }

// Etcd is the server itself, nil while it is stopped.
func (s *Server) Etcd() *etcdserver.EtcdServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node == nil {
		return nil
	}
	return s.node.etcd
}

// Client is a new client, closed with the test.
func (s *Server) Client(tb testing.TB) *clientv3.Client {
	tb.Helper()
	return s.connect(tb, s.Endpoints())
}

func (s *Server) connect(tb testing.TB, endpoints []string) *clientv3.Client {
	tb.Helper()
	cfg := clientv3.Config{Endpoints: endpoints, DialTimeout: setupTimeout, Logger: zap.NewNop(), DialOptions: etcdx.DialOptions()}
	if s.files != nil {
		cfg.TLS = s.files.clientTLS(tb)
	}
	if len(s.settings.users) > 0 {
		cfg.Username, cfg.Password = s.settings.users[0].name, s.settings.users[0].password
	}
	c, err := clientv3.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Stop breaks all connections and stops the server. It does nothing if the server is stopped.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.node != nil {
		s.node.stop()
		s.node = nil
	}
}

// Restart stops the server, if it runs, and starts it on its data and its port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	s.Stop()
	s.serve(tb, listen(tb, s.member.client.Host), listen(tb, s.member.peer.Host))
	s.await(tb)
}

func (s *Server) serve(tb testing.TB, clients, peers net.Listener) {
	tb.Helper()
	var secure *tls.Config
	if s.files != nil {
		secure = s.files.serverTLS(tb)
	}
	n, err := startNode(s.settings.server(s.member), clients, peers, secure)
	if err != nil {
		tb.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = n
}

func (s *Server) await(tb testing.TB) {
	tb.Helper()
	if err := s.node.ready(); err != nil {
		tb.Fatal(err)
	}
}

// enableAuth creates the accounts through the server itself, since no client can log in before.
func (s *Server) enableAuth(tb testing.TB) {
	tb.Helper()
	if len(s.settings.users) == 0 {
		return
	}
	bare := &Server{member: s.member, files: s.files}
	c := bare.Client(tb)
	ctx, cancel := context.WithTimeout(context.Background(), setupTimeout)
	defer cancel()
	_, err := c.RoleAdd(ctx, "root")
	steps := []error{err}
	for _, u := range append([]user{{"root", "root"}}, s.settings.users...) {
		_, err := c.UserAdd(ctx, u.name, u.password)
		steps = append(steps, err)
		_, err = c.UserGrantRole(ctx, u.name, "root")
		steps = append(steps, err)
	}
	_, err = c.AuthEnable(ctx)
	if err := firstError(append(steps, err)...); err != nil {
		tb.Fatal(err)
	}
}

func listen(tb testing.TB, address string) net.Listener {
	tb.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func httpURL(l net.Listener, secure bool) url.URL {
	u := url.URL{Scheme: "http", Host: l.Addr().String()}
	if secure {
		u.Scheme = "https"
	}
	return u
}
