package maintainer

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/rpcerr"
)

// ask is a connection to the control API of one maintainer.
func (w *world) ask(address string) controlv1.ControlClient {
	w.t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithContextDialer(w.net.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(rpcerr.UnaryClient()), grpc.WithStreamInterceptor(rpcerr.StreamClient()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return controlv1.NewControlClient(conn)
}

func (w *world) create(api controlv1.ControlClient, name string, ranges ...*controlv1.Range) *controlv1.CreateKeyspaceResponse {
	w.t.Helper()
	resp, err := api.CreateKeyspace(w.t.Context(), &controlv1.CreateKeyspaceRequest{
		Cluster: "test", RequestId: "create-" + name, Name: name, Workload: "gate", Ranges: ranges,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return resp
}

func keyRange(start, end string) *controlv1.Range {
	return &controlv1.Range{Start: []byte(start), End: []byte(end)}
}

func (w *world) listed(api controlv1.ControlClient, q *controlv1.ListSpansRequest) []*controlv1.Span {
	w.t.Helper()
	q.Cluster = "test"
	in, err := api.ListSpans(w.t.Context(), q)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []*controlv1.Span
	for {
		resp, err := in.Recv()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			w.t.Fatal(err)
		}
		if len(resp.GetSpans()) > spansPerPage {
			w.t.Fatalf("a page of %d spans", len(resp.GetSpans()))
		}
		out = append(out, resp.GetSpans()...)
	}
}

// A user does not have to know who leads.
func TestEveryMaintainerAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		m1 := w.maintainer("m1")
		w.leads(m1, 5*time.Second)
		w.maintainer("m2")
		w.node("n1")
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m1) })
		for _, name := range []string{"m1", "m2"} {
			api := w.ask(name)
			w.create(api, "of-"+name, keyRange("a", "b"))
			if got := w.listed(api, &controlv1.ListSpansRequest{Keyspace: "of-" + name}); len(got) != 1 {
				t.Errorf("%s lists %d spans", name, len(got))
			}
			s, err := api.GetStatus(w.t.Context(), &controlv1.GetStatusRequest{Cluster: "test"})
			if err != nil || s.GetLeader() != "m1" || len(s.GetMaintainers()) != 2 {
				t.Errorf("%s: %v, %v", name, s, err)
			}
		}
		if n := w.net.dials["m1"]; n > 4 {
			t.Errorf("%d connections were made to the leader", n)
		}
	})
}

// Between two leaders a call waits a moment; a leader that dies under it is replaced under it, too.
func TestAForwardedCallOutlivesTheLeader(t *testing.T) {
	inWorld(t, func(w *world) {
		m1 := w.maintainer("m1")
		w.leads(m1, 5*time.Second)
		m2 := w.maintainer("m2")
		w.node("n1")
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m1) })
		time.Sleep(time.Second)
		api := w.ask("m2")
		m1.kill(false)
		w.create(api, "ks")
		if m2.current() == nil {
			t.Error("m2 does not lead")
		}
	})
}

func TestNobodyLeads(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		api := w.ask("m1")
		if _, err := api.GetStatus(w.t.Context(), &controlv1.GetStatusRequest{Cluster: "test"}); err != nil {
			t.Fatal(err)
		}
		m.control.current = func() *term { return nil }
		m.control.leader = func() string { return "" }
		began := time.Now()
		_, err := api.GetStatus(w.t.Context(), &controlv1.GetStatusRequest{Cluster: "test"})
		if f, ok := fault.As(err); !ok || f.Reason != fault.NotLeader || f.Remedy == "" {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took < electionWait || took > electionWait+time.Second {
			t.Errorf("waited %v", took)
		}
		short, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
		defer cancel()
		if _, err := api.GetStatus(short, &controlv1.GetStatusRequest{Cluster: "test"}); fault.ExitCode(err) != 4 {
			t.Errorf("got %v", err)
		}
	})
}

// Two maintainers that take each other for the leader do not play ping-pong.
func TestACallIsForwardedOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		m.control.current = func() *term { return nil }
		m.control.leader = func() string { return "m9" }
		ctx := metadata.AppendToOutgoingContext(w.t.Context(), forwardedBy, "m2")
		began := time.Now()
		_, err := w.ask("m1").GetStatus(ctx, &controlv1.GetStatusRequest{Cluster: "test"})
		if f, ok := fault.As(err); !ok || f.Reason != fault.NotLeader || !strings.Contains(f.Remedy, "m9") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > time.Second || w.net.dials["m9"] != 0 {
			t.Errorf("after %v and %d dials", took, w.net.dials["m9"])
		}
	})
}

func TestAnotherClusterIsRefusedByName(t *testing.T) {
	inWorld(t, func(w *world) {
		w.leads(w.maintainer("m1"), 5*time.Second)
		_, err := w.ask("m1").GetStatus(w.t.Context(), &controlv1.GetStatusRequest{Cluster: "prod"})
		if f, ok := fault.As(err); !ok || f.Reason != fault.WrongCluster || f.Value != "prod" || !strings.Contains(f.Message, "test") {
			t.Errorf("got %v", err)
		}
		in, err := w.ask("m1").ListSpans(w.t.Context(), &controlv1.ListSpansRequest{})
		if err == nil {
			_, err = in.Recv()
		}
		if !fault.Is(err, fault.WrongCluster) {
			t.Errorf("got %v", err)
		}
	})
}

func TestListingsComeInPages(t *testing.T) {
	inWorld(t, func(w *world) {
		w.leads(w.maintainer("m1"), 5*time.Second)
		w.keyspace("ks", 2500)
		w.keyspace("other", 1)
		api := w.ask("m1")
		w.eventually("seen", 5*time.Second, func() string {
			if n := len(w.listed(api, &controlv1.ListSpansRequest{})); n != 2501 {
				return "not all listed"
			}
			return ""
		})
		if n := len(w.listed(api, &controlv1.ListSpansRequest{Keyspace: "ks"})); n != 2500 {
			t.Errorf("%d spans of ks", n)
		}
		if got := w.listed(api, &controlv1.ListSpansRequest{Keyspace: "ks", Span: "1-1.7"}); len(got) != 1 || got[0].GetId() != "1-1.7" {
			t.Errorf("got %v", got)
		}
	})
}

func TestWatchTellsAMoveToItsEnd(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(2, "n1", "n2")
		w.maintainer("m2")
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(w.t.Context())
		defer cancel()
		in, err := w.ask("m2").WatchOperators(ctx, &controlv1.WatchOperatorsRequest{Cluster: "test"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		sp := w.listed(w.ask("m1"), &controlv1.ListSpansRequest{Span: "1-1.0"})[0]
		to := map[string]string{"n1": "n2", "n2": "n1"}[sp.GetNode()]
		resp, err := w.ask("m1").MoveSpan(w.t.Context(), &controlv1.MoveSpanRequest{
			Cluster: "test", RequestId: "r", Keyspace: "ks", Span: sp.GetId(), To: to,
		})
		if err != nil {
			t.Fatal(err)
		}
		for {
			got, err := in.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if o := got.GetOperator(); o.GetId() == resp.GetOperator().GetId() && o.GetStage() == "finished" {
				var stages []string
				for _, s := range o.GetSteps() {
					stages = append(stages, s.GetStage())
				}
				if text := strings.Join(stages, " "); o.GetOutcome() != "done" || text != "queued closing handed_off opening finished" {
					t.Errorf("%s: %s", o.GetOutcome(), text)
				}
				break
			}
		}
		one, err := w.ask("m1").WatchOperators(ctx, &controlv1.WatchOperatorsRequest{Cluster: "test", Id: resp.GetOperator().GetId()})
		if err != nil {
			t.Fatal(err)
		}
		if o, err := one.Recv(); err != nil || o.GetOperator().GetOutcome() != "done" {
			t.Errorf("%v, %v", o, err)
		}
		if _, err := one.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the watch of an operator that is over goes on: %v", err)
		}
	})
}

// A leader that hangs answers nothing and refuses nothing. Calls that were forwarded to it go on with the next one.
func TestAForwardedCallOutlivesALeaderThatHangs(t *testing.T) {
	inWorld(t, func(w *world) {
		m1 := w.maintainer("m1")
		w.leads(m1, 5*time.Second)
		w.maintainer("m2")
		w.maintainer("m3")
		w.node("n1")
		w.eventually("registered", 5*time.Second, func() string { return w.unregistered(m1) })
		time.Sleep(time.Second)
		api := w.ask("m2")
		hang := make(chan struct{})
		time.AfterFunc(20*time.Second, func() { close(hang) })
		m1.dead = true
		m1.at(func(name string) error {
			if name == "maintainer/keyspace/accept/before" {
				<-hang
			}
			return nil
		})
		began := time.Now()
		time.AfterFunc(time.Second, m1.etcd.Kill)
		w.create(api, "ks")
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %v, with a TTL of 5 s", took)
		}
	})
}
