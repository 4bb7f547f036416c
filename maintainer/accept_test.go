package maintainer

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/reflect/protoreflect"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// everything is what is in etcd, by key and revision.
func (w *world) everything() map[string]int64 {
	w.t.Helper()
	r, err := w.etcd.Client().Get(context.Background(), w.layout.Root(), clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]int64{}
	for _, kv := range r.Kvs {
		out[string(kv.Key)] = kv.ModRevision
	}
	return out
}

// ranges are those of the span records of a keyspace.
func (w *world) ranges(keyspace string) []span.Range {
	w.t.Helper()
	r, err := w.etcd.Client().Get(context.Background(), w.layout.Spans(keyspace), clientv3.WithPrefix())
	if err != nil {
		w.t.Fatal(err)
	}
	var out []span.Range
	for _, kv := range r.Kvs {
		s, err := record.DecodeSpan(kv.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, s.Range)
	}
	return out
}

// The table of what users get wrong. Each answer names the field, the value and what to do, and nothing has changed.
func TestBadInputChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1", func(c *Config) {
			c.Validators = map[string]Validator{"gate": func(set map[string]string, ranges []span.Range) error {
				if set["bad"] != "" {
					return fault.New(fault.InvalidArgument, "is no setting").On("bad", set["bad"]).Fix("leave it out")
				}
				for _, r := range ranges {
					if r.Start == "never" {
						return fmt.Errorf("no key there")
					}
				}
				return nil
			}}
		})
		w.leads(m, 5*time.Second)
		stubborn := func(n *node) {
			n.answer = func(a *sessionv1.Ask) sessionv1.StageResult_Result {
				if a.GetAction() == sessionv1.Ask_ACTION_CLOSE {
					return sessionv1.StageResult_RESULT_REFUSED
				}
				return sessionv1.StageResult_RESULT_CLAIMED // it carries it out
			}
		}
		w.node("n1", stubborn)
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m) })
		api := w.ask("m1")
		made := w.create(api, "ks", keyRange("a", "b"), keyRange("b", "c"), keyRange("c", "d"), keyRange("d", "e"), keyRange("f", "g"))
		w.owned("ks", 5, 5*time.Second)
		w.node("n2", stubborn)
		w.node("cordoned")
		w.node("draining")
		w.node("mute", func(n *node) { n.mute = true })
		w.put(w.layout.NodeConfig("cordoned"), record.EncodeNodeConfig(record.NodeConfig{Cordoned: true}))
		w.put(w.layout.NodeConfig("draining"), record.EncodeNodeConfig(record.NodeConfig{Draining: true}))
		w.put(w.layout.NodeConfig("gone"), record.EncodeNodeConfig(record.NodeConfig{Weight: 1}))
		w.put(w.layout.Keyspace("broken"), []byte("garbage"))
		w.put(w.layout.Keyspace("half"), record.EncodeKeyspace(record.Keyspace{
			Workload: "gate", State: record.KeyspaceCreating, CreatedBy: "1-1", CreatedAt: time.Now(), ExpectedSpans: 500,
		}))
		id := func(n int) string { return fmt.Sprintf("%s.%d", made.GetOperator().GetId(), n) }
		w.put(w.layout.History("ks", "1-9"), record.EncodeHistory(record.History{
			Intent: record.Intent{
				Operator: "1-9", Kind: record.KindSplit, By: record.ByUser, Spans: []string{"1-0.0"},
				Results: []string{id(0), id(1)},
			},
			Outcome: record.OutcomeDone, FinishedAt: time.Now(),
		}))
		move := &controlv1.MoveSpanRequest{RequestId: "mv", Keyspace: "ks", Span: id(1), To: "n2"}
		remove := &controlv1.RemoveSpanRequest{RequestId: "rm", Keyspace: "ks", Span: id(2)}
		ctx := w.t.Context()
		w.eventually("n2 is known", 5*time.Second, func() string {
			if _, err := api.ListNodes(ctx, &controlv1.ListNodesRequest{Cluster: "test", Name: "n2"}); err != nil {
				return err.Error()
			}
			return ""
		})
		for _, q := range []request{move, remove} {
			if err := call(ctx, api, q); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(20 * time.Second) // until all is quiet, positions written
		before := w.everything()
		long := strings.Repeat("x", span.MaxKeyBytes+1)
		create := func(name, workload string, ranges ...*controlv1.Range) request {
			return &controlv1.CreateKeyspaceRequest{Name: name, Workload: workload, Ranges: ranges}
		}
		add := func(ks string, r *controlv1.Range) request { return &controlv1.AddSpanRequest{Keyspace: ks, Range: r} }
		moving := func(ks, span, to string) request {
			return &controlv1.MoveSpanRequest{Keyspace: ks, Span: span, To: to}
		}
		splitting := func(span string, at ...string) request {
			q := &controlv1.SplitSpanRequest{Keyspace: "ks", Span: span}
			for _, key := range at {
				q.At = append(q.At, []byte(key))
			}
			return q
		}
		merging := func(spans ...string) request { return &controlv1.MergeSpansRequest{Keyspace: "ks", Spans: spans} }
		cancelling := func(id string) request { return &controlv1.CancelOperatorRequest{Id: id} }
		var manyKeys, manySpans []string
		for i := range operator.MaxChildren {
			manyKeys = append(manyKeys, fmt.Sprintf("a%02d", i))
		}
		for i := range operator.MaxSources + 1 {
			manySpans = append(manySpans, fmt.Sprintf("9-9.%d", i))
		}
		removing := func(ks, span string) request { return &controlv1.RemoveSpanRequest{Keyspace: ks, Span: span} }
		for _, tc := range []struct {
			name  string
			q     request
			want  fault.Reason
			field string
			value string
			says  string
		}{
			{"name off the pattern", create("Orders", "gate"), fault.InvalidName, "keyspace", "Orders", "lower-case"},
			{"no name", create("", "gate"), fault.InvalidName, "keyspace", "", "give a name"},
			{"name taken", create("ks", "gate"), fault.AlreadyExists, "keyspace", "ks", ""},
			{"name of a half-made one", create("half", "gate"), fault.AlreadyExists, "keyspace", "half", "1-1"},
			{"name of an unreadable one", create("broken", "gate"), fault.Refused, "keyspace", "broken", w.layout.Keyspace("broken")},
			{"workload nobody offers", create("new", "mirorr"), fault.UnknownWorkload, "workload", "mirorr", "gate"},
			{"no workload", create("new", ""), fault.UnknownWorkload, "workload", "", "gate"},
			{"empty range", create("new", "gate", keyRange("a", "a")), fault.InvalidRange, "range", "a:a", ""},
			{"inverted range", create("new", "gate", keyRange("b", "a")), fault.InvalidRange, "range", "b:a", "a:b"},
			{"key too long", create("new", "gate", keyRange(long, "")), fault.InvalidKey, "range", long, "4096"},
			{"ranges overlap", create("new", "gate", keyRange("a", "c"), keyRange("b", "d")), fault.RangeOverlap, "range", "b:d", "a:c"},
			{"bad setting", &controlv1.CreateKeyspaceRequest{Name: "new", Workload: "gate", Set: map[string]string{"bad": "7"}}, fault.InvalidArgument, "bad", "7", "leave it out"},
			{"workload refuses a range", create("new", "gate", keyRange("never", "nf")), fault.InvalidArgument, "set", "", "no key there"},

			{"add to unknown keyspace", add("nope", keyRange("x", "y")), fault.UnknownKeyspace, "keyspace", "nope", "keyspace list"},
			{"add to a half-made one", add("half", keyRange("x", "y")), fault.Refused, "keyspace", "half", "creating"},
			{"add without a range", add("ks", nil), fault.InvalidArgument, "range", "", "START:END"},
			{"add over a span", add("ks", keyRange("bb", "x")), fault.RangeOverlap, "range", "bb:x", id(1)},
			{"add everything", add("ks", keyRange("", "")), fault.RangeOverlap, "range", ":", id(0)},
			{"add inverted", add("ks", keyRange("y", "x")), fault.InvalidRange, "range", "y:x", "x:y"},
			{"add where the workload refuses", add("ks", keyRange("never", "nf")), fault.InvalidArgument, "set", "", "no key there"},

			{"remove from unknown keyspace", removing("nope", id(0)), fault.UnknownKeyspace, "keyspace", "nope", ""},
			{"remove unknown span", removing("ks", "7-7.7"), fault.UnknownSpan, "span", "7-7.7", "span list"},
			{"remove a span that was split", removing("ks", "1-0.0"), fault.UnknownSpan, "span", "1-0.0", id(0) + ", " + id(1)},
			{"remove twice", removing("ks", id(2)), fault.SpanBusy, "span", id(2), "already being removed"},

			{"move unknown span", moving("ks", "7-7.7", "n2"), fault.UnknownSpan, "span", "7-7.7", ""},
			{"move twice", moving("ks", id(1), "n2"), fault.SpanBusy, "span", id(1), "operator"},
			{"move what is removed", moving("ks", id(2), "n2"), fault.SpanBusy, "span", id(2), "removed"},
			{"move to itself", moving("ks", id(0), "n1"), fault.NotMoved, "to", "n1", "already"},
			{"move nowhere", moving("ks", id(0), ""), fault.InvalidArgument, "to", "", ""},
			{"move to unknown node", moving("ks", id(0), "n9"), fault.UnknownNode, "to", "n9", "node list"},
			{"move to a node that is gone", moving("ks", id(0), "gone"), fault.UnknownNode, "to", "gone", "is gone"},
			{"move to a cordoned node", moving("ks", id(0), "cordoned"), fault.NodeNotReady, "to", "cordoned", "cordoned"},
			{"move to a draining node", moving("ks", id(0), "draining"), fault.NodeNotReady, "to", "draining", "drained"},
			{"move to an unreachable node", moving("ks", id(0), "mute"), fault.NodeNotReady, "to", "mute", "unreachable"},

			{"split in unknown keyspace", &controlv1.SplitSpanRequest{Keyspace: "nope", Span: id(0)}, fault.UnknownKeyspace, "keyspace", "nope", ""},
			{"split unknown span", splitting("7-7.7", "x"), fault.UnknownSpan, "span", "7-7.7", ""},
			{"split what was split", splitting("1-0.0", "x"), fault.UnknownSpan, "span", "1-0.0", id(0) + ", " + id(1)},
			{"split what moves", splitting(id(1), "bb"), fault.SpanBusy, "span", id(1), "a move to n2"},
			{"split at nothing", splitting(id(0)), fault.InvalidArgument, "at", "", "a:b"},
			{"split at the start", splitting(id(0), "a"), fault.InvalidKey, "at", "a", "strictly inside a:b"},
			{"split at the end", splitting(id(0), "b"), fault.InvalidKey, "at", "b", "strictly inside a:b"},
			{"split elsewhere", splitting(id(0), "aa", "x"), fault.InvalidKey, "at", "x", "strictly inside a:b"},
			{"split twice at a key", splitting(id(0), "ab", "aa", "ab"), fault.InvalidKey, "at", "ab", "twice"},
			{"split into too many", splitting(id(0), manyKeys...), fault.InvalidArgument, "at", "", "at most 59 keys, which make 60"},
			{"split at a long key", splitting(id(0), "a"+long), fault.InvalidKey, "at", "a" + long, "4096"},

			{"merge in unknown keyspace", &controlv1.MergeSpansRequest{Keyspace: "nope", Spans: []string{"a", "b"}}, fault.UnknownKeyspace, "keyspace", "nope", ""},
			{"merge of one", merging(id(0)), fault.InvalidArgument, "span", "", "2 to 16"},
			{"merge of too many", merging(manySpans...), fault.InvalidArgument, "span", "", "17 spans"},
			{"merge with itself", merging(id(0), id(0)), fault.InvalidArgument, "span", id(0), "twice"},
			{"merge unknown span", merging(id(0), "7-7.7"), fault.UnknownSpan, "span", "7-7.7", ""},
			{"merge what is removed", merging(id(2), id(3)), fault.SpanBusy, "span", id(2), "removed"},
			{"merge over others", merging(id(3), id(0)), fault.Refused, "span", id(3), "between them is b:d"},
			{"merge over others names them", merging(id(3), id(0)), fault.Refused, "span", id(3), "merge span " + id(1) + " (b:c)"},
			{"merge over a hole", merging(id(3), id(4)), fault.Refused, "span", id(4), "between them is e:f; no span covers that"},

			{"cancel a bad name", cancelling("No"), fault.InvalidName, "operator", "No", ""},
			{"cancel unknown operator", cancelling("7-7"), fault.UnknownOperator, "operator", "7-7", "history"},
			{"cancel what is over", cancelling(made.GetOperator().GetId()), fault.Refused, "operator", made.GetOperator().GetId(), "done"},
			{"cancel a creation", cancelling("1-1"), fault.Refused, "operator", "1-1", "creation of keyspace half"},

			{"set of unknown keyspace", &controlv1.SetKeyspaceRequest{Name: "nope", Set: map[string]string{"a": "b"}}, fault.UnknownKeyspace, "keyspace", "nope", ""},
			{"set nothing", &controlv1.SetKeyspaceRequest{Name: "ks"}, fault.InvalidArgument, "set", "", ""},
			{"set something bad", &controlv1.SetKeyspaceRequest{Name: "ks", Set: map[string]string{"bad": "7"}}, fault.InvalidArgument, "bad", "7", ""},
			{"set too much", &controlv1.SetKeyspaceRequest{Name: "ks", Set: map[string]string{"a": strings.Repeat("x", maxSettingsBytes)}}, fault.InvalidArgument, "set", "", "at most"},
			{"state of unknown keyspace", &controlv1.ChangeKeyspaceStateRequest{Name: "nope", Verb: "pause"}, fault.UnknownKeyspace, "keyspace", "nope", ""},
			{"pause of a half-made one", &controlv1.ChangeKeyspaceStateRequest{Name: "half", Verb: "pause"}, fault.Refused, "keyspace", "half", "creating"},
			{"pause of an unreadable one", &controlv1.ChangeKeyspaceStateRequest{Name: "broken", Verb: "pause"}, fault.Refused, "keyspace", "broken", w.layout.Keyspace("broken")},
			{"unknown verb", &controlv1.ChangeKeyspaceStateRequest{Name: "ks", Verb: "stop"}, fault.InvalidArgument, "verb", "stop", "pause"},

			{"same id, other change", &controlv1.MoveSpanRequest{RequestId: "rm", Keyspace: "ks", Span: id(0), To: "n2"}, fault.RequestConflict, "request-id", "rm", "another id"},
			{"same id, other body", &controlv1.MoveSpanRequest{RequestId: "mv", Keyspace: "ks", Span: id(1), To: "cordoned"}, fault.RequestConflict, "request-id", "mv", ""},
			{"id of a finished one", &controlv1.AddSpanRequest{RequestId: "create-ks", Keyspace: "ks", Range: keyRange("x", "y")}, fault.RequestConflict, "request-id", "create-ks", made.GetOperator().GetId()},
			{"id too long", &controlv1.AddSpanRequest{RequestId: strings.Repeat("i", 200), Keyspace: "ks", Range: keyRange("x", "y")}, fault.InvalidArgument, "request-id", strings.Repeat("i", 200), "128"},
			{"unknown operator", &controlv1.ListOperatorsRequest{Id: "7-7"}, fault.UnknownOperator, "operator", "7-7", "history"},
			{"unknown node", &controlv1.ListNodesRequest{Name: "n9"}, fault.UnknownNode, "node", "n9", ""},
			{"unknown keyspace", &controlv1.ListKeyspacesRequest{Name: "nope"}, fault.UnknownKeyspace, "keyspace", "nope", ""},
			{"lookup in unknown keyspace", &controlv1.LookupRequest{Keyspace: "nope", Key: []byte("a")}, fault.UnknownKeyspace, "keyspace", "nope", ""},
			{"lookup of a long key", &controlv1.LookupRequest{Keyspace: "ks", Key: []byte(long)}, fault.InvalidKey, "key", long, "4096"},
			{"unknown type", &controlv1.ListOperatorsRequest{Finished: true, Type: "shift"}, fault.InvalidArgument, "type", "shift", "move"},
			{"listing of an unknown span", &controlv1.ListSpansRequest{Keyspace: "ks", Span: "1-0.0"}, fault.UnknownSpan, "span", "1-0.0", id(0)},
		} {
			err := call(ctx, api, tc.q)
			f, ok := fault.As(err)
			if !ok || f.Reason != tc.want || f.Field != tc.field || f.Value != tc.value || !strings.Contains(f.Message+"; "+f.Remedy, tc.says) || f.Remedy == "" {
				t.Errorf("%s: want %s on %s %.40q saying %q, got %.300v", tc.name, tc.want, tc.field, tc.value, tc.says, err)
			}
			if d := cmp.Diff(before, w.everything()); d != "" {
				t.Fatalf("%s has changed etcd:\n%s", tc.name, d)
			}
		}
	})
}

// call makes the call that a request is for.
func call(ctx context.Context, api controlv1.ControlClient, q request) (err error) {
	r := q.ProtoReflect()
	r.Set(r.Descriptor().Fields().ByName("cluster"), protoText("test"))
	switch q := q.(type) {
	case *controlv1.CreateKeyspaceRequest:
		_, err = api.CreateKeyspace(ctx, q)
	case *controlv1.SetKeyspaceRequest:
		_, err = api.SetKeyspace(ctx, q)
	case *controlv1.ChangeKeyspaceStateRequest:
		_, err = api.ChangeKeyspaceState(ctx, q)
	case *controlv1.AddSpanRequest:
		_, err = api.AddSpan(ctx, q)
	case *controlv1.RemoveSpanRequest:
		_, err = api.RemoveSpan(ctx, q)
	case *controlv1.MoveSpanRequest:
		_, err = api.MoveSpan(ctx, q)
	case *controlv1.SplitSpanRequest:
		_, err = api.SplitSpan(ctx, q)
	case *controlv1.MergeSpansRequest:
		_, err = api.MergeSpans(ctx, q)
	case *controlv1.CancelOperatorRequest:
		_, err = api.CancelOperator(ctx, q)
	case *controlv1.ListOperatorsRequest:
		_, err = api.ListOperators(ctx, q)
	case *controlv1.ListNodesRequest:
		_, err = api.ListNodes(ctx, q)
	case *controlv1.ListKeyspacesRequest:
		_, err = api.ListKeyspaces(ctx, q)
	case *controlv1.LookupRequest:
		_, err = api.Lookup(ctx, q)
	case *controlv1.ListSpansRequest:
		in, open := api.ListSpans(ctx, q)
		if err = open; err == nil {
			_, err = in.Recv()
		}
	default:
		err = fmt.Errorf("no call for %T", q)
	}
	return err
}

// The same request id at two leaders is one change: the first dies right after its transaction, unheard.
func TestARequestIsCarriedOutOnceWhoeverLeads(t *testing.T) {
	for _, kind := range []string{"keyspace", "add", "move", "remove", "split", "merge"} {
		for _, when := range []string{"before", "after"} {
			t.Run(kind+"/"+when, func(t *testing.T) {
				inWorld(t, func(w *world) { w.repeatedAtTheNextLeader(kind, when) })
			})
		}
	}
}

func (w *world) repeatedAtTheNextLeader(kind, when string) {
	t := w.t
	m1, refs := w.settled(2, "n1", "n2")
	m2 := w.maintainer("m2")
	time.Sleep(time.Second)
	to := map[string]string{"n1": "n2", "n2": "n1"}[w.span(refs[0]).Owner.Node]
	q := map[string]request{
		"keyspace": &controlv1.CreateKeyspaceRequest{RequestId: "r", Name: "new", Workload: "gate"},
		"add":      &controlv1.AddSpanRequest{RequestId: "r", Keyspace: "ks", Range: keyRange("x", "")},
		"move":     &controlv1.MoveSpanRequest{RequestId: "r", Keyspace: "ks", Span: string(refs[0].ID), To: to},
		"remove":   &controlv1.RemoveSpanRequest{RequestId: "r", Keyspace: "ks", Span: string(refs[0].ID)},
		"split":    &controlv1.SplitSpanRequest{RequestId: "r", Keyspace: "ks", Span: string(refs[0].ID), At: [][]byte{[]byte("0000005")}},
		"merge":    &controlv1.MergeSpansRequest{RequestId: "r", Keyspace: "ks", Spans: []string{string(refs[1].ID), string(refs[0].ID)}},
	}[kind]
	m1.diesAt("maintainer/"+kind+"/accept/"+when, 1)
	ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
	if err := call(ctx, w.ask("m1"), q); fault.ExitCode(err) == 0 {
		t.Fatal("a leader that was killed has answered")
	}
	cancel()
	w.leads(m2, 10*time.Second)
	api := w.ask("m2")
	for range 2 { // the second time when it is over
		if err := call(w.t.Context(), api, q); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
	}
	resp, err := api.ListOperators(w.t.Context(), &controlv1.ListOperatorsRequest{Cluster: "test", Finished: true})
	if err != nil {
		t.Fatal(err)
	}
	var mine []*controlv1.Operator
	for _, o := range resp.GetOperators() {
		if o.GetRequestId() == "r" {
			mine = append(mine, o)
		}
	}
	if len(mine) != 1 || mine[0].GetOutcome() != "done" || mine[0].GetType() != kind {
		t.Errorf("operators of the request: %v of %v", mine, resp.GetOperators())
	}
}

// diesAt kills the process when it comes to a failpoint for the nth time.
func (p *proc) diesAt(point string, n int) {
	var mu sync.Mutex
	p.at(func(name string) error {
		mu.Lock()
		defer mu.Unlock()
		if name == point {
			n--
		}
		if n > 0 || name != point && !p.dead {
			return nil
		}
		if !p.dead {
			p.dead = true
			p.w.procIsDead(p)
		}
		return errKilled
	})
}

// procIsDead is kill, from within the process.
func (w *world) procIsDead(p *proc) {
	p.etcd.Kill()
	w.net.cut(p.name, false)
	p.stop()
}

// An answer that is lost on the way from etcd is no reason to tell the user anything but yes.
func TestALostAnswerOfEtcdIsSettled(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(1, "n1")
		time.Sleep(15 * time.Second)
		m.etcd.LoseTxn(1)
		resp, err := w.ask("m1").AddSpan(w.t.Context(), &controlv1.AddSpanRequest{Cluster: "test", RequestId: "r", Keyspace: "ks", Range: keyRange("x", "y")})
		if err != nil || resp.GetOperator().GetOutcome() != "done" {
			t.Errorf("%v, %v", resp, err)
		}
		w.owned("ks", 2, 5*time.Second)
	})
}

// Few spans come with their keyspace and its history, or not at all.
func TestASmallKeyspaceIsOneTransaction(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		w.node("n1", func(n *node) { n.mute = true })
		time.Sleep(time.Second)
		var ranges []*controlv1.Range
		for i := range spansAtOnce {
			ranges = append(ranges, keyRange(strings.Repeat("k", 4000)+fmt.Sprintf("%06d", i), strings.Repeat("k", 4000)+fmt.Sprintf("%06d", i+1)))
		}
		before := m.Stats().Txns
		resp := w.create(w.ask("m1"), "ks", ranges...)
		if n := m.Stats().Txns - before; n != 1 || resp.GetKeyspace().GetSpans()["total"] != spansAtOnce {
			t.Errorf("%d transactions, %v", n, resp.GetKeyspace().GetSpans())
		}
		revisions := map[int64]int{}
		for key, rev := range w.everything() {
			if strings.Contains(key, "/ks") {
				revisions[rev]++
			}
		}
		if len(revisions) != 1 {
			t.Errorf("records at %d revisions", len(revisions))
		}
		all := w.create(w.ask("m1"), "all").GetKeyspace()
		if len(all.GetRanges()) != 1 || len(all.GetRanges()[0].GetStart())+len(all.GetRanges()[0].GetEnd()) != 0 {
			t.Errorf("without ranges a keyspace covers %v", all.GetRanges())
		}
	})
}

// Fifty adds of one range at a time: one wins, and nobody is told anything else than why.
func TestConcurrentAddsCoverAKeyOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1")
		api := w.ask("m1")
		var mu sync.Mutex
		won, lost := 0, 0
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				_, err := api.AddSpan(w.t.Context(), &controlv1.AddSpanRequest{
					Cluster: "test", RequestId: fmt.Sprint("same-", i), Keyspace: "ks", Range: keyRange("x"+fmt.Sprint(i%3), "y"),
				})
				_, apart := api.AddSpan(w.t.Context(), &controlv1.AddSpanRequest{
					Cluster: "test", RequestId: fmt.Sprint("own-", i), Keyspace: "ks", Range: keyRange(fmt.Sprintf("z%02d", i), fmt.Sprintf("z%02d0", i)),
				})
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					won++
				case fault.Is(err, fault.RangeOverlap):
					lost++
				default:
					t.Errorf("add: %v", err)
				}
				if apart != nil {
					t.Errorf("an add of a free range: %v", apart)
				}
			})
		}
		all.Wait()
		if won != 1 || lost != 49 {
			t.Errorf("%d won, %d lost", won, lost)
		}
		rs := w.ranges("ks")
		if i, j, bad := span.Overlapping(rs); bad || len(rs) != 52 {
			t.Errorf("%d spans; %v and %v", len(rs), rs[i], rs[j])
		}
	})
}

// The record moves between the plan and the write: the next plan finds out what is right.
func TestAPlanThatCameTooLateIsMadeAnew(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(1, "n1", "n2")
		var other string
		once := true
		m.at(func(name string) error {
			if name == "maintainer/move/accept/before" && once {
				once = false
				s := w.span(refs[0])
				s.Intent = &record.Intent{Operator: "1-77", Kind: record.KindRemove, By: record.ByUser, Spans: []string{string(s.ID)}}
				w.putSpan(refs[0], s.Span)
			}
			return nil
		})
		other = map[string]string{"n1": "n2", "n2": "n1"}[w.span(refs[0]).Owner.Node]
		_, err := w.ask("m1").MoveSpan(w.t.Context(), &controlv1.MoveSpanRequest{
			Cluster: "test", RequestId: "r", Keyspace: "ks", Span: string(refs[0].ID), To: other,
		})
		if f, ok := fault.As(err); !ok || fault.ExitCode(err) != 3 || f.Field != "span" {
			t.Errorf("got %v", err)
		}
		if h := w.get(w.layout.History("ks", fmt.Sprintf("%d-1", m.current().number))); len(h.Kvs) != 0 {
			t.Error("the move has left a trace")
		}
	})
}

func TestSettingsAreMergedAndRemembered(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1")
		api := w.ask("m1")
		q := &controlv1.SetKeyspaceRequest{Cluster: "test", RequestId: "r", Name: "ks", Set: map[string]string{"c": "d"}}
		var mod int64
		for range 2 {
			resp, err := api.SetKeyspace(w.t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(map[string]string{"a": "b", "c": "d"}, resp.GetKeyspace().GetSet()); d != "" {
				t.Error(d)
			}
			now := w.get(w.layout.Keyspace("ks")).Kvs[0].ModRevision
			if mod != 0 && now != mod {
				t.Error("the same request has written twice")
			}
			mod = now
		}
	})
}

func TestLookup(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(2, "n1")
		api := w.ask("m1")
		look := func(key string) *controlv1.LookupResponse {
			resp, err := api.Lookup(w.t.Context(), &controlv1.LookupRequest{Cluster: "test", Keyspace: "ks", Key: []byte(key)})
			if err != nil {
				t.Fatal(err)
			}
			return resp
		}
		owner := w.span(operator.Ref{Keyspace: "ks", ID: "1-1.1"}).Owner
		if got := look("000001x"); got.GetSpan() != "1-1.1" || got.GetNode() != "n1" || got.GetToken() != owner.Token || got.GetState() != "running" {
			t.Errorf("owned: %v", got)
		}
		if got := look("zzz"); got.GetSpan() != "" || string(got.GetKey()) != "zzz" {
			t.Errorf("covered by nobody: %v", got)
		}
		w.nodes[0].kill()
		w.eventually("gone", 20*time.Second, func() string {
			got := look("000001x")
			if got.GetSpan() == "1-1.1" && got.GetNode() == "" && got.GetToken() == 0 && got.GetState() == "absent" {
				return ""
			}
			return got.String()
		})
	})
}

func protoText(s string) protoreflect.Value { return protoreflect.ValueOfString(s) }
