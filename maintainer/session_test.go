package maintainer

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/rpcerr"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

func TestARefusalDoesNotSpin(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		n := w.node("n1", func(n *node) {
			n.answer = func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_REFUSED }
		})
		refs := w.keyspace("ks", 1)
		time.Sleep(time.Minute)
		asked := len(w.openings(refs[0]))
		if asked < 4 || asked > 12 {
			t.Errorf("asked %d times in a minute", asked)
		}
		// The view moves on, and so does the leader, at once.
		n.obey()
		w.putSpan(refs[0], w.span(refs[0]).Span)
		w.owned("ks", 1, 100*time.Millisecond)
	})
}

func TestSilenceIsAskedAgainWithTheSamePlan(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		n := w.node("n1", func(n *node) {
			n.answer = func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED }
		})
		refs := w.keyspace("ks", 1)
		time.Sleep(20 * time.Second)
		asks := w.openings(refs[0])
		if len(asks) < 3 || len(asks) > 6 {
			t.Errorf("asked %d times in 20 s", len(asks))
		}
		for _, a := range asks {
			if a.GetMembers()[0].GetModRevision() != asks[0].GetMembers()[0].GetModRevision() {
				t.Errorf("the plan was refreshed: %v", a)
			}
		}
		n.obey()
		w.owned("ks", 1, 20*time.Second)
	})
}

// failing opens nothing: it claims, fails, gives the claim up and says so.
func failing(n *node) {
	n.answer = func(a *sessionv1.Ask) sessionv1.StageResult_Result {
		n.claimOnly(a)
		r := operator.Ref{Keyspace: a.GetKeyspace(), ID: span.ID(a.GetMembers()[0].GetSpan())}
		time.Sleep(50 * time.Millisecond)
		if _, err := n.etcd.Client().Delete(context.Background(), n.w.layout.Operator(r.Keyspace, r.ID)); err != nil {
			return sessionv1.StageResult_RESULT_REFUSED
		}
		time.Sleep(50 * time.Millisecond) // the records are faster than the words
		return sessionv1.StageResult_RESULT_OPEN_FAILED
	}
}

func TestAFailedOpeningBacksOffAndIsShown(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		n := w.node("n1", failing)
		refs := w.keyspace("ks", 1)
		time.Sleep(2 * time.Minute)
		asked := len(w.openings(refs[0]))
		if asked < 5 || asked > 10 {
			t.Errorf("tried %d times in 2 min", asked)
		}
		for i, at := range n.times[refs[0]][1:] {
			if gap := at.Sub(n.times[refs[0]][i]); gap < 700*time.Millisecond {
				t.Errorf("tried again after %v", gap)
			}
		}
		if !m.complains("failing") {
			t.Error("nobody says that the span fails")
		}
		if k := m.current().known.span(refs[0]); k.failures != asked || k.retryAt.IsZero() {
			t.Errorf("known: %+v after %d tries", k, asked)
		}
		n.obey()
		w.owned("ks", 1, 2*time.Minute)
		w.eventually("the problem is solved", time.Second, func() string {
			if m.complains("failing") || m.current().known.span(refs[0]).failures != 0 {
				return "still shown"
			}
			return ""
		})
	})
}

func TestAFailedOpeningIsTriedElsewhere(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		w.node("n1", failing)
		w.node("n2")
		time.Sleep(time.Second)
		w.keyspace("ks", 2)
		w.owned("ks", 2, 3*time.Second)
		if c := w.owners("ks")["n2"]; c != 2 {
			t.Errorf("owners: %v", w.owners("ks"))
		}
	})
}

func TestWhatIsRecordedAndDoesNotRunIsOpenedAgain(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(3, "n1", "n2")
		lost := refs[0]
		n := w.owner(lost)
		before := w.span(lost).Owner
		n.mu.Lock()
		delete(n.running, lost)
		n.mu.Unlock()
		n.say(n.full())
		w.eventually("it has a new token", 3*time.Second, func() string {
			now := w.span(lost).Owner
			if now.Node != before.Node || now.Token <= before.Token {
				return fmt.Sprint(now)
			}
			return ""
		})
		asked := m.Stats().Asks
		n.say(n.full())
		time.Sleep(5 * time.Second)
		if again := m.Stats().Asks; again != asked {
			t.Errorf("%d asks for a report in which everything is right", again-asked)
		}
	})
}

// What was reported before the record changed says nothing about the record.
func TestAnOldReportChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(1, "n1")
		n := w.nodes[0]
		asked := m.Stats().Asks
		old := w.span(refs[0]).Mod - 1
		n.say(&sessionv1.Report{Full: true, Revision: old})
		n.say(&sessionv1.Report{Revision: old, Spans: []*sessionv1.SpanStatus{status(refs[0], sessionv1.SpanStatus_STATE_GONE, 0)}})
		n.say(&sessionv1.Report{Full: true, Revision: old + 1, Spans: []*sessionv1.SpanStatus{status(refs[0], sessionv1.SpanStatus_STATE_PENDING, 0)}})
		time.Sleep(5 * time.Second)
		if again := m.Stats().Asks; again != asked {
			t.Errorf("asked %d times", again-asked)
		}
	})
}

// What the owner says of a span holds from the revision that made it the owner on, whatever others have written to the
// record since: else a span that has stopped would wait for a report that never comes.
func TestAReportIsAsNewAsItsOwner(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(1, "n1")
		n, before := w.nodes[0], w.span(refs[0])
		if _, err := w.etcd.Client().Put(context.Background(), w.layout.Span("ks", refs[0].ID), string(record.EncodeSpan(before.Span))); err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		delete(n.running, refs[0])
		n.mu.Unlock()
		n.say(&sessionv1.Report{Revision: before.Mod, Spans: []*sessionv1.SpanStatus{status(refs[0], sessionv1.SpanStatus_STATE_GONE, 0)}})
		w.eventually("opened again", 10*time.Second, func() string {
			if now := w.span(refs[0]); now.Owner.Token == before.Owner.Token {
				return fmt.Sprint(now)
			}
			return ""
		})
	})
}

func TestWhatRunsUnknownToEtcdIsConfirmed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.settled(1, "n1")
		n := w.nodes[0]
		stray := operator.Ref{Keyspace: "ks", ID: "9-9.9"}
		n.mu.Lock()
		n.running[stray] = 7
		n.mu.Unlock()
		n.say(n.full())
		w.eventually("the node is asked to confirm", time.Second, func() string {
			n.mu.Lock()
			defer n.mu.Unlock()
			if len(n.confirms) != 1 || n.confirms[0].GetSpan() != string(stray.ID) {
				return fmt.Sprint(n.confirms)
			}
			return ""
		})
	})
}

// owner is the node that owns the span.
func (w *world) owner(r operator.Ref) *node {
	w.t.Helper()
	for _, n := range w.nodes {
		if n.name == w.span(r).Owner.Node {
			return n
		}
	}
	w.t.Fatalf("nobody owns %s", r.ID)
	return nil
}

func TestWhoMayRegister(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		b := w.maintainer("m2")
		n := w.node("n1")
		time.Sleep(time.Second)
		for _, c := range []struct {
			name, at string
			reg      *sessionv1.Register
			want     fault.Reason
		}{
			{"another cluster", m.name, &sessionv1.Register{Cluster: "other", Node: "n1", Session: n.session}, fault.WrongCluster},
			{"a bad name", m.name, &sessionv1.Register{Cluster: "test", Node: "N/1", Session: n.session}, fault.InvalidName},
			{"an old session", m.name, &sessionv1.Register{Cluster: "test", Node: "n1", Session: n.session - 1}, fault.Refused},
			{"no session", m.name, &sessionv1.Register{Cluster: "test", Node: "n7"}, fault.Refused},
			{"no registration", m.name, nil, fault.WrongCluster},
			{"a standby", b.name, &sessionv1.Register{Cluster: "test", Node: "n1", Session: n.session}, fault.NotLeader},
		} {
			if err := w.tryRegister(c.at, c.reg); !fault.Is(err, c.want) {
				t.Errorf("%s: %v, want %s", c.name, err, c.want)
			}
		}
	})
}

func (w *world) tryRegister(address string, r *sessionv1.Register) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithContextDialer(w.net.dial),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStreamInterceptor(rpcerr.StreamClient()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	s, err := sessionv1.NewSessionClient(conn).Dispatch(ctx)
	if err != nil {
		return err
	}
	_ = s.Send(&sessionv1.DispatchRequest{Register: r}) // if the stream is refused already, Recv says why
	_, err = s.Recv()
	return err
}

func TestANodeWithoutAStreamGetsNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(2, "n1", "n2")
		n := w.nodes[0]
		n.silence(true)
		w.eventually("it is shown as unreachable", 4*time.Second, func() string {
			if !m.complains("unreachable") {
				return "it is not"
			}
			return ""
		})
		w.keyspace("new", 4)
		w.owned("new", 4, 5*time.Second)
		if got := w.owners("new"); got["n2"] != 4 {
			t.Errorf("owners: %v", got)
		}
		if got := w.owners("ks"); got["n1"] != 1 {
			t.Errorf("an unreachable node has lost what it runs: %v", got)
		}
		n.silence(false)
		w.eventually("it is no longer shown", 5*time.Second, func() string {
			if m.complains("unreachable") {
				return "it is"
			}
			return ""
		})
	})
}

func TestRecordsThatNobodyCanReadStopNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		m, _ := w.settled(2, "n1")
		bad := w.layout.Span("ks", "1-1.0")
		w.put(bad, []byte("garbage"))
		w.put(w.layout.Root()+"what/is/this", []byte("x"))
		w.putSpan(operator.Ref{Keyspace: "ks", ID: "2-2.0"}, record.Span{Range: span.Range{Start: "x", End: "y"}})
		w.eventually("the new span is opened", 3*time.Second, func() string {
			return nobody(w.span(operator.Ref{Keyspace: "ks", ID: "2-2.0"}))
		})
		if !m.complains("quarantined") {
			t.Error("the garbage is not shown")
		}
		if got := string(w.get(bad).Kvs[0].Value); got != "garbage" {
			t.Errorf("the garbage was touched: %q", got)
		}
	})
}

func nobody(s operator.Span) string {
	if s.Owner.Nobody() {
		return "nobody owns it"
	}
	return ""
}
