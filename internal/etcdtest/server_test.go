package etcdtest

import (
	"context"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestServerKeepsDataAndPortOverRestart(t *testing.T) {
	s := Start(t)
	c := s.Client(t)
	put(t, c, "k", "v")
	s.Restart(t)
	if v := get(t, c, "k"); v != "v" {
		t.Errorf("after a restart: %q", v)
	}
}

func TestServerWithTLSAndAccounts(t *testing.T) {
	s := Start(t, WithTLS(), WithAuth("ann", "secret"))
	put(t, s.Client(t), "k", "v")
	anonymous := &Server{member: s.member, files: s.files}
	if _, err := anonymous.Client(t).Put(t.Context(), "k", "v"); err == nil {
		t.Error("a client without an account must be refused")
	}
}

func TestClusterSurvivesItsLeader(t *testing.T) {
	cl := StartCluster(t, 3)
	c := cl.Client(t)
	put(t, c, "k", "v")
	cl.Leader().Stop()
	for deadline := time.Now().Add(setupTimeout); ; {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := c.Put(ctx, "k", "w", clientv3.WithPrevKV())
		cancel()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}
