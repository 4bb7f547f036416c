package leases_test

import (
	"net"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/leases"
)

// silent accepts connections and never says anything.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var kept []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			kept = append(kept, c)
		}
		for _, c := range kept {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// One endpoint hangs under established connections, one never answered; only the third serves.
func TestHungEndpointsDoNotCostTheSession(t *testing.T) {
	etcd := etcdtest.Start(t)
	hung := etcdtest.NewProxy(t, etcd.Address())
	c, err := clientv3.New(clientv3.Config{
		Endpoints: []string{hung.Endpoint(), silent(t), etcd.Endpoints()[0]}, Logger: zap.NewNop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	s, err := leases.Grant(t.Context(), c, leases.Config{TTL: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(t.Context()) }()
	renewals(t, s, 1) // the proxy's connection is in use
	hung.Freeze()
	renewals(t, s, 4)
	if err := s.Revoke(t.Context()); err != nil {
		t.Error(err)
	}
	<-ended
}

// renewals waits for some, each of which must come well before the end.
func renewals(t *testing.T, s *leases.Session, n int) {
	t.Helper()
	for range n {
		select {
		case <-s.Renewed():
			if s.Remaining() < s.TTL()/2 {
				t.Errorf("renewed, but only %v left of %v", s.Remaining(), s.TTL())
			}
		case <-s.Lost():
			t.Fatal(s.Err())
		}
	}
}

func TestBoottimeAdvances(t *testing.T) {
	a := leases.Boottime()
	for b := leases.Boottime(); b <= a; b = leases.Boottime() {
		if b < a {
			t.Fatalf("%v after %v", b, a)
		}
	}
}
