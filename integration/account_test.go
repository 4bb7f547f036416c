package integration_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/integration/proc"
	"github.com/spanward/spanward/internal/etcdtest"
)

// An account that may touch the keys of one cluster only is enough for all processes and commands.
func TestAccountForOurKeysOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes")
	}
	t.Parallel()
	c := proc.Start(t, proc.Options{TTL: "2s"})
	etcd := etcdtest.Start(t, etcdtest.WithAuth("admin", "secret"))
	root := c.Layout().Root()
	restrict(t, etcd.Client(t), root)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.URLs = etcd.Endpoints()[0]
	login := []string{"--etcd-user", "spanward", "--etcd-password-file", password}
	with := func(text string) []string { return append(line(text), login...) }

	first, second := c.Maintainer("m1", login...), c.Maintainer("m2", login...)
	c.Dispatcher("d1", login...)
	c.Dispatcher("d2", login...)
	c.Do(with("keyspace create g --workload gate --range a:m --range m: --wait --timeout 60s")...)
	var s proc.Status
	c.Get(&s, with("status")...)
	dead := first
	if *s.Leader == "m2" {
		dead = second
	}
	dead.Kill()
	c.Process("d2").Kill() // its session expires by itself
	c.Until("all at d1, under the other maintainer", func() (bool, string) {
		a := c.Spanward(with("keyspace show g -o json --timeout 5s")...)
		var list proc.Spans
		ok := c.TryGet(&list, with("span list g")...) && len(list.Spans) == 2
		for _, sp := range list.Spans {
			ok = ok && sp.State == "running" && sp.Node == "d1"
		}
		return ok, a.Out + a.Err
	})
	c.Do(with("span add g --range :a --wait --timeout 60s")...)
	c.Do(with("check")...)
	c.Process("d1").Stop()
}

// restrict makes a user that has one role, which may read and write what is under a prefix.
func restrict(t *testing.T, admin *clientv3.Client, prefix string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	steps := []func() error{
		func() error { _, err := admin.RoleAdd(ctx, "spanward"); return err },
		func() error {
			_, err := admin.RoleGrantPermission(ctx, "spanward", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite))
			return err
		},
		func() error { _, err := admin.UserAdd(ctx, "spanward", "ours"); return err },
		func() error { _, err := admin.UserGrantRole(ctx, "spanward", "spanward"); return err },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
}
