package integration_test

import (
	"context"
	"errors"
	"fmt"
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
	restrict(t, etcd.Client(t), clientv3.PermissionType(clientv3.PermReadWrite), under(root))
	password := passwordFile(t)
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

// The accounts of a mirror: one that may read the source's range, and one that may also write the destination's. Both know
// the mirror's own keys, which at the source show whether the two are one etcd.
func TestAccountsOfAMirror(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes")
	}
	t.Parallel()
	c := proc.Start(t, proc.Options{TTL: "2s"})
	source, dest := etcdtest.Start(t, etcdtest.WithAuth("admin", "secret")), etcdtest.Start(t, etcdtest.WithAuth("admin", "secret"))
	ours := keyRange{"a", "n"}
	restrict(t, source.Client(t), clientv3.PermissionType(clientv3.PermRead), ours, under("/spanward-mirror/default/"))
	restrict(t, dest.Client(t), clientv3.PermissionType(clientv3.PermReadWrite), ours, under("/spanward-mirror/default/"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	put := func(key string) {
		t.Helper()
		if _, err := source.Client(t).Put(ctx, key, "v"); err != nil {
			t.Fatal(err)
		}
	}
	put("copied")
	put("zero") // out of range
	password := passwordFile(t)
	login := []string{
		"--source-user", "spanward", "--source-password-file", password, "--dest-user", "spanward", "--dest-password-file", password,
	}
	c.Maintainer("m1")
	c.Dispatcher("d1", login...)
	c.Do(
		"keyspace", "create", "copy", "--workload", "mirror", "--range", "a:g", "--range", "g:n", "--wait", "--timeout", "60s",
		"--set", "source="+source.Endpoints()[0], "--set", "dest="+dest.Endpoints()[0],
	)
	put("followed")
	c.Until("equal", func() (bool, string) {
		var d proc.Diff
		ok := c.TryGet(&d, append(line("mirror diff copy"), login...)...)
		return ok && d.Equal && d.Compared == 2, fmt.Sprintf("%+v", d)
	})
	c.Process("d1").Stop()
}

func passwordFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("ours\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type keyRange struct{ start, end string }

func under(prefix string) keyRange { return keyRange{prefix, clientv3.GetPrefixRangeEnd(prefix)} }

// restrict makes a user spanward that may do this in these ranges, and nothing else.
func restrict(t *testing.T, admin *clientv3.Client, may clientv3.PermissionType, in ...keyRange) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := admin.RoleAdd(ctx, "spanward")
	errs := []error{err}
	for _, r := range in {
		_, err := admin.RoleGrantPermission(ctx, "spanward", r.start, r.end, may)
		errs = append(errs, err)
	}
	_, err = admin.UserAdd(ctx, "spanward", "ours")
	errs = append(errs, err)
	_, err = admin.UserGrantRole(ctx, "spanward", "spanward")
	if err := errors.Join(append(errs, err)...); err != nil {
		t.Fatal(err)
	}
}
