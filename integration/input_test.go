package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"github.com/spanward/spanward/integration/proc"
	"github.com/spanward/spanward/internal/etcdtest"
)

// bad is one command line that must be refused.
type bad struct {
	line   []string
	code   int
	reason string
	// field is what is wrong, value what it was; says are further words that the line must have.
	field, value string
	says         []string
}

func line(text string) []string { return strings.Fields(text) }

// told is the error object of -o json.
type told struct {
	Error struct{ Reason, Field, Value, Message, Remedy string }
}

// refused runs the command as a person and as a script would, and compares what each is told.
func (b bad) refused(t *testing.T, c *proc.Cluster) {
	t.Helper()
	name := "spanward " + strings.Join(b.line, " ")
	if len(name) > 120 {
		name = name[:120] + "…"
	}
	a := c.Spanward(b.line...)
	if a.Code != b.code || a.Out != "" {
		t.Errorf("%s: exit %d, want %d\n%s%s", name, a.Code, b.code, a.Out, a.Err)
		return
	}
	if !strings.HasPrefix(a.Err, "spanward: ") || strings.Count(a.Err, "\n") != 1 || !strings.HasSuffix(a.Err, "\n") {
		t.Errorf("%s: not one line: %q", name, a.Err)
	}
	for _, word := range append(b.says, b.field, shown(b.value)) {
		if !strings.Contains(a.Err, word) {
			t.Errorf("%s: %q is not in: %s", name, word, a.Err)
		}
	}
	a = c.Spanward(append([]string{"-o", "json"}, b.line...)...)
	var e told
	if err := json.Unmarshal([]byte(a.Err), &e); err != nil || a.Code != b.code || a.Out != "" {
		t.Errorf("%s -o json: exit %d, %v: %s%s", name, a.Code, err, a.Out, a.Err)
		return
	}
	if e.Error.Reason != b.reason || e.Error.Field != b.field || e.Error.Value != b.value || e.Error.Message == "" || e.Error.Remedy == "" {
		t.Errorf("%s -o json: want %s on %q %q, and a remedy; got %+v", name, b.reason, b.field, b.value, e.Error)
	}
}

// shown is the beginning of a value, of which lines for people show only so much.
func shown(value string) string { return value[:min(len(value), 200)] }

// stored is everything under our prefix: each key with the revision of its last change.
func stored(t *testing.T, c *proc.Cluster, cl *clientv3.Client) map[string]int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	r, err := cl.Get(ctx, c.Layout().Root(), clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, kv := range r.Kvs {
		out[string(kv.Key)] = kv.ModRevision
	}
	return out
}

// What cannot be done is refused in words that help, and nothing is changed.
func TestBadInput(t *testing.T) {
	c := cluster(t, proc.Options{}, 2)
	c.Dispatcher("d3").Stop() // is gone for all that follows
	spans := gateSpans(c, 4)
	c.Do(line("span add g --range 50:51 --request-id used --wait")...)
	id, at := spans[0].ID, spans[0].Node
	cl := c.Client(c.URLs)
	before := stored(t, c, cl)

	key := strings.Repeat("k", 4097)
	name := strings.Repeat("n", 64)
	for _, b := range []bad{
		// Names.
		{line("keyspace create Orders --workload gate"), 2, "INVALID_NAME", "keyspace", "Orders", []string{"[a-z0-9]"}},
		{line("keyspace create " + name + " --workload gate"), 2, "INVALID_NAME", "keyspace", name, nil},
		{line("keyspace show -- -x"), 2, "INVALID_NAME", "keyspace", "-x", nil},
		{line("span list G"), 2, "INVALID_NAME", "keyspace", "G", nil},
		{line("span show g a/b"), 2, "INVALID_NAME", "span", "a/b", nil},
		{line("span remove g A"), 2, "INVALID_NAME", "span", "A", nil},
		{line("span move g " + id + " --to N1"), 2, "INVALID_NAME", "--to", "N1", nil},
		{line("lookup G k"), 2, "INVALID_NAME", "keyspace", "G", nil},
		{line("node show N1"), 2, "INVALID_NAME", "node", "N1", nil},
		{line("operator show A-1"), 2, "INVALID_NAME", "operator", "A-1", nil},
		{line("history g --span A"), 2, "INVALID_NAME", "--span", "A", nil},
		{line("check G"), 2, "INVALID_NAME", "keyspace", "G", nil},
		{line("status --cluster a_B"), 2, "INVALID_NAME", "--cluster", "a_B", nil},
		// Ranges and keys.
		{line("span add g --range b:b"), 2, "INVALID_RANGE", "--range", "b:b", nil},
		{line("span add g --range b:a"), 2, "INVALID_RANGE", "--range", "b:a", nil},
		{line("span add g --range ab"), 2, "INVALID_RANGE", "--range", "ab", []string{"START:END"}},
		{line("span add g --range a:b:c"), 2, "INVALID_RANGE", "--range", "a:b:c", []string{`\x3a`}},
		{line(`span add g --range a\q:b`), 2, "INVALID_KEY", "--range", `a\q`, nil},
		{line(`span add g --range a\x4:b`), 2, "INVALID_KEY", "--range", `a\x4`, nil},
		{line("span add g --range " + key + ":"), 2, "INVALID_KEY", "--range", key, []string{"4096"}},
		{line("span add g"), 2, "INVALID_ARGUMENT", "--range", "", []string{"START:END"}},
		{line("lookup g " + key), 2, "INVALID_KEY", "key", key, nil},
		{line(`lookup g a\`), 2, "INVALID_KEY", "key", `a\`, nil},
		{line("span add g --range 005:02"), 3, "RANGE_OVERLAP", "--range", "005:02", []string{id, "00:01"}},
		{line("span add g --range :"), 3, "RANGE_OVERLAP", "--range", ":", nil},
		{line("keyspace create k --workload gate --range a:c --range b:d"), 3, "RANGE_OVERLAP", "--range", "b:d", []string{"a:c"}},
		{line("keyspace create k --workload gate --range a:b --range b:a"), 2, "INVALID_RANGE", "--range", "b:a", nil},
		{line("keyspace create k --workload gate --ranges /nonexistent/file"), 2, "INVALID_ARGUMENT", "--ranges", "/nonexistent/file", nil},
		// What does not exist.
		{line("keyspace show nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", []string{"keyspace list"}},
		{line("keyspace pause nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("keyspace resume nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("keyspace delete nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("keyspace set nope a=b"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("span list nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("span add nope --range a:b"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("span show nope " + id), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("lookup nope k"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("mirror diff nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("history nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("check nope"), 3, "UNKNOWN_KEYSPACE", "keyspace", "nope", nil},
		{line("span show g 9-9.9"), 3, "UNKNOWN_SPAN", "span", "9-9.9", []string{"span list"}},
		{line("span remove g 9-9.9"), 3, "UNKNOWN_SPAN", "span", "9-9.9", nil},
		{line("span move g 9-9.9 --to d1"), 3, "UNKNOWN_SPAN", "span", "9-9.9", nil},
		{line("span move g " + id + " --to nope"), 3, "UNKNOWN_NODE", "--to", "nope", []string{"node list"}},
		{line("span move g " + id + " --to d3"), 3, "UNKNOWN_NODE", "--to", "d3", nil},
		{line("node show nope"), 3, "UNKNOWN_NODE", "node", "nope", nil},
		{line("operator show 9-9"), 3, "UNKNOWN_OPERATOR", "operator", "9-9", nil},
		{line("keyspace create k --workload nope"), 3, "UNKNOWN_WORKLOAD", "--workload", "nope", []string{"gate", "mirror"}},
		// What the state of things refuses.
		{line("keyspace create g --workload gate"), 3, "ALREADY_EXISTS", "keyspace", "g", nil},
		{line("span move g " + id + " --to " + at), 3, "NOT_MOVED", "--to", at, []string{id}},
		{line("mirror diff g"), 3, "REFUSED", "keyspace", "g", []string{"gate"}},
		{line("span add g --range 60:61 --request-id used"), 3, "REQUEST_CONFLICT", "--request-id", "used", nil},
		{line("span move g " + id + " --to " + other(at) + " --request-id used"), 3, "REQUEST_CONFLICT", "--request-id", "used", nil},
		// Settings of a mirror.
		{line("keyspace create k --workload mirror"), 2, "INVALID_ARGUMENT", "source", "", nil},
		{line("keyspace create k --workload mirror --set source=http://127.0.0.1:1"), 2, "INVALID_ARGUMENT", "dest", "", nil},
		{line("keyspace create k --workload mirror --set dest=http://127.0.0.1:1"), 2, "INVALID_ARGUMENT", "source", "", nil},
		{line("keyspace create k --workload mirror --set source=http://127.0.0.1:1 --set dest=http://127.0.0.1:2 --set sauce=x"), 2, "INVALID_ARGUMENT", "sauce", "x", nil},
		{line("keyspace create k --workload mirror --set source=nonsense --set dest=http://127.0.0.1:2"), 2, "INVALID_ARGUMENT", "source", "nonsense", nil},
		{line("keyspace create k --workload mirror --set source=http://127.0.0.1:1 --set dest=http://127.0.0.1:1"), 3, "RANGE_OVERLAP", "--range", ":", []string{"dest-prefix"}},
		{line("keyspace create k --workload gate --set novalue"), 2, "INVALID_ARGUMENT", "--set", "novalue", []string{"k=v"}},
		// Usage.
		{line("span move g " + id), 2, "INVALID_ARGUMENT", "--to", "", nil},
		{line("span move g"), 2, "INVALID_ARGUMENT", "", "", []string{"SPAN is missing", "span move --help"}},
		{line("span shuffle g"), 2, "INVALID_ARGUMENT", "spanward span", "shuffle", nil},
		{line("keyspace create k"), 2, "INVALID_ARGUMENT", "--workload", "", nil},
		{line("status --nope"), 2, "INVALID_ARGUMENT", "", "", []string{"--nope"}},
		{line("history g --since yesterday"), 2, "INVALID_ARGUMENT", "--since", "yesterday", nil},
		{line("history g --type swap"), 2, "INVALID_ARGUMENT", "--type", "swap", nil},
		{line("span add g --range 60:61 --request-id a" + key), 2, "INVALID_ARGUMENT", "--request-id", "a" + key, nil},
	} {
		b.refused(t, c)
	}
	if diff := cmp.Diff(before, stored(t, c, cl)); diff != "" {
		t.Errorf("something was changed: %s", diff)
	}

	// A span that is being removed cannot be removed again, moved, or added to; afterwards nobody knows it.
	c.Hold("hold-close")
	var removing proc.Operator
	c.Get(&removing, "span", "remove", "g", id)
	c.Until("closing", func() (bool, string) { return stages(c, 1, 0) })
	before = stored(t, c, cl)
	for _, b := range []bad{
		{line("span remove g " + id), 3, "SPAN_BUSY", "span", id, []string{removing.ID}},
		{line("span move g " + id + " --to " + other(at)), 3, "SPAN_BUSY", "span", id, []string{removing.ID}},
		{line("span add g --range 00:01"), 3, "RANGE_OVERLAP", "--range", "00:01", []string{id}},
	} {
		b.refused(t, c)
	}
	if diff := cmp.Diff(before, stored(t, c, cl)); diff != "" {
		t.Errorf("something was changed: %s", diff)
	}
	c.Release("hold-close")
	c.Running("g", 4)
	bad{line("span remove g " + id), 3, "UNKNOWN_SPAN", "span", id, nil}.refused(t, c)
	c.Verdict()
}

// oldEtcd answers like an etcd that is too old.
type oldEtcd struct {
	pb.UnimplementedMaintenanceServer
}

func (oldEtcd) Status(context.Context, *pb.StatusRequest) (*pb.StatusResponse, error) {
	return &pb.StatusResponse{Header: &pb.ResponseHeader{ClusterId: 1}, Version: "3.5.9"}, nil
}

func startOldEtcd(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	pb.RegisterMaintenanceServer(s, oldEtcd{})
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Stop(); <-done })
	return "http://" + l.Addr().String()
}

// The wrong etcd, or none, is told apart from everything else.
func TestWrongEtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("real processes")
	}
	t.Parallel()
	c := proc.Start(t, proc.Options{})
	_, second := c.ExtraEtcd("second")
	guarded := etcdtest.Start(t, etcdtest.WithAuth("ann", "secret")).Endpoints()[0]
	old := startOldEtcd(t)
	nobody := "http://" + c.FreeAddress()
	wrong := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(wrong, []byte("guess\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	both := c.URLs + "," + second
	for _, b := range []bad{
		{line("status --etcd " + nobody), 4, "ETCD_UNREACHABLE", "--etcd", nobody, []string{"refused"}},
		{line("check --etcd " + nobody), 4, "ETCD_UNREACHABLE", "--etcd", nobody, nil},
		{line("maintainer --name m1 --etcd " + nobody), 4, "ETCD_UNREACHABLE", "--etcd", nobody, nil},
		{line("status --etcd nonsense"), 2, "INVALID_ARGUMENT", "--etcd", "nonsense", []string{"host:port"}},
		{line("status --etcd " + guarded), 3, "ETCD_AUTH", "--etcd", guarded, []string{"--etcd-user"}},
		{line("status --etcd-user ann --etcd-password-file " + wrong + " --etcd " + guarded), 3, "ETCD_AUTH", "--etcd-user", "ann", []string{"--etcd-password-file"}},
		{line("dispatcher --name d1 --workload gate --etcd-user ann --etcd-password-file " + wrong + " --etcd " + guarded), 3, "ETCD_AUTH", "--etcd-user", "ann", nil},
		{line("status --etcd-user ann --etcd " + guarded), 2, "INVALID_ARGUMENT", "--etcd-user", "ann", []string{"--etcd-password-file"}},
		{line("status --etcd-user ann --etcd-password-file /nonexistent --etcd " + guarded), 2, "INVALID_ARGUMENT", "--etcd-password-file", "/nonexistent", nil},
		{line("status --etcd " + old), 3, "ETCD_TOO_OLD", "--etcd", old, []string{"3.5.9", "3.6.9"}},
		{line("maintainer --name m1 --etcd " + old), 3, "ETCD_TOO_OLD", "--etcd", old, nil},
		{line("span list --etcd " + second), 4, "UNAVAILABLE", "--cluster", "default", []string{"no maintainer", "--etcd"}},
		{line("check --cluster nope"), 3, "WRONG_CLUSTER", "--cluster", "nope", nil},
		{line("span list --cluster nope"), 4, "UNAVAILABLE", "--cluster", "nope", []string{"no maintainer", "spanward maintainer"}},
	} {
		b.refused(t, c)
	}
	// Which of the two is the odd one depends on who answers first.
	a := c.Spanward("status", "--etcd", both)
	if a.Code != 3 || !strings.Contains(a.Err, "--etcd") || !strings.Contains(a.Err, "belongs to etcd cluster") {
		t.Errorf("endpoints of two clusters: exit %d: %s", a.Code, a.Err)
	}
	if left := stored(t, c, c.Client(c.URLs)); len(left) > 0 {
		t.Errorf("somebody has written: %v", left)
	}
}

// quarantined waits until status and check agree on which keys nobody can read.
func quarantined(t *testing.T, c *proc.Cluster, want ...string) {
	t.Helper()
	c.Until(fmt.Sprintf("%d problems", len(want)), func() (bool, string) {
		var s proc.Status
		var check proc.Check
		if !c.TryGet(&s, "status") || !c.TryGet(&check, "check") {
			return false, "status or check failed"
		}
		seen := 0
		for _, p := range s.Problems {
			for _, key := range want {
				if p.Kind == "quarantined" && strings.HasPrefix(p.Message, key+": ") {
					seen++
				}
			}
		}
		for _, p := range check.Problems {
			for _, key := range want {
				if p.Key == key && p.Message != "" {
					seen++
				}
			}
		}
		ok := check.OK && seen == 2*len(want) && len(check.Problems) == len(want)
		if len(want) == 0 {
			ok = ok && len(s.Problems) == 0
		}
		return ok, fmt.Sprintf("%+v %+v", s.Problems, check)
	})
}

// Somebody writes nonsense under our prefix. It is shown, never deleted, and in nobody's way.
func TestGarbageUnderOurPrefix(t *testing.T) {
	c := cluster(t, proc.Options{}, 2)
	spans := gateSpans(c, 4)
	c.Do(line("keyspace create h --workload gate --range : --wait --timeout 60s")...)
	cl, l := c.Client(c.URLs), c.Layout()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	put := func(key, value string) {
		t.Helper()
		if _, err := cl.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	victim, moving := spans[0], spans[1]
	good, err := cl.Get(ctx, l.Keyspace("h"))
	if err != nil || len(good.Kvs) != 1 {
		t.Fatal(err, good)
	}
	garbage := []string{
		l.Span("g", "x"), l.Keyspace("junk"), l.Keyspace("h"), l.Operator("g", "junk"), l.Root() + "somebody/else", l.Node("Not-A-Name"),
	}
	for _, key := range garbage {
		put(key, "\xff\xfegarbage")
	}
	quarantined(t, c, garbage...)

	// Other spans of the same keyspace move, other keyspaces come and grow.
	c.Do("span", "move", "g", moving.ID, "--to", other(moving.Node), "--wait", "--timeout", "60s")
	c.Do(line("keyspace create k --workload gate --range a:b --wait --timeout 60s")...)
	c.Do(line("span add k --range b:c --wait --timeout 60s")...)
	c.Do("span", "remove", "g", victim.ID, "--wait", "--timeout", "60s")
	// A span that nobody can read may have any range, so its own keyspace cannot grow.
	bad{line("span add g --range 70:71"), 3, "REFUSED", "--range", "70:71", []string{"cannot be read", "status"}}.refused(t, c)
	// It is still so under the next leader.
	c.Leader().Kill()
	c.Leader()
	quarantined(t, c, garbage...)

	for _, key := range garbage {
		if key == l.Keyspace("h") {
			put(key, string(good.Kvs[0].Value))
			continue
		}
		if _, err := cl.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	quarantined(t, c)
	c.Do(line("span add g --range 70:71 --wait --timeout 60s")...)
	c.Running("g", 4)
	c.Verdict()
}

// A record in use is overwritten and put back: its span is quarantined meanwhile, and runs afterwards.
func TestGarbageInPlaceOfARecord(t *testing.T) {
	c := cluster(t, proc.Options{}, 2)
	spans := gateSpans(c, 4)
	cl, l := c.Client(c.URLs), c.Layout()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	key := l.Span("g", "") + spans[2].ID
	good, err := cl.Get(ctx, key)
	if err != nil || len(good.Kvs) != 1 {
		t.Fatal(err, good)
	}
	if _, err := cl.Put(ctx, key, "garbage"); err != nil {
		t.Fatal(err)
	}
	quarantined(t, c, key)
	c.Do("span", "move", "g", spans[1].ID, "--to", other(spans[1].Node), "--wait", "--timeout", "60s")
	c.Leader().Kill()
	c.Leader()
	quarantined(t, c, key)
	if _, err := cl.Put(ctx, key, string(good.Kvs[0].Value)); err != nil {
		t.Fatal(err)
	}
	c.Running("g", 4)
	quarantined(t, c)
	c.Do("span", "move", "g", spans[2].ID, "--to", other(spans[2].Node), "--wait", "--timeout", "60s")
}
