package maintainer

import (
	"context"
	"errors"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
)

// The leader key comes again with the very same value, and whoever led does not know yet: what is sent under the former
// term is refused.
func TestNothingIsWrittenAfterItsTerm(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.maintainer("m1")
		w.leads(m, 5*time.Second)
		former := &term{number: m.current().number, over: context.Background()}
		leader := w.get(w.layout.Leader()).Kvs[0]
		_, err := w.etcd.Client().Put(w.t.Context(), string(leader.Key), string(leader.Value), clientv3.WithLease(clientv3.LeaseID(leader.Lease)))
		if err != nil {
			t.Fatal(err)
		}
		ref := operator.Ref{Keyspace: "ks", ID: "1-1.0"}
		res, err := m.settle(w.t.Context(), former, []txn.Part{operator.PutNewSpan(w.layout, operator.Keyspace{}, operator.Span{Ref: ref})})
		if err != nil || res[0].Outcome != txn.Fenced || w.span(ref).Mod != 0 {
			t.Errorf("%+v, %v; the record: %+v", res, err, w.span(ref))
		}
	})
}

// A node may know more than the leader: what it reports says something about the records at its revision, no earlier.
func TestAReportWaitsForTheView(t *testing.T) {
	inWorld(t, func(w *world) {
		m, refs := w.settled(1, "n1")
		n := w.nodes[0]
		confirms := func() int {
			n.mu.Lock()
			defer n.mu.Unlock()
			return len(n.confirms)
		}
		stray := operator.Ref{Keyspace: "ks", ID: "9-9.9"}
		ahead := n.full()
		ahead.Revision = m.view.Revision() + 1
		ahead.Spans = append(ahead.Spans, status(stray, sessionv1.SpanStatus_STATE_RUNNING, 7))
		n.say(ahead)
		time.Sleep(300 * time.Millisecond)
		if n := confirms(); n != 0 || m.view.Revision() >= ahead.Revision {
			t.Fatalf("asked to confirm %d spans at revision %d, reported as of %d", n, m.view.Revision(), ahead.Revision)
		}
		w.putSpan(refs[0], w.span(refs[0]).Span)
		w.eventually("the report counts", time.Second, func() string {
			if confirms() == 0 {
				return "nobody was asked to confirm"
			}
			return ""
		})
	})
}

// What answers at the leader's address may be another process by now, or lead another term: then a refusal of that
// address proves nothing about the leader.
func TestOnlyTheLeaderOfTheTermAnswers(t *testing.T) {
	over := errors.New("over")
	for name, tt := range map[string]struct {
		says []*sessionv1.StandbyResponse
		want bool
	}{
		"the leader":      {[]*sessionv1.StandbyResponse{{Instance: "i", Term: 7}}, true},
		"another process": {[]*sessionv1.StandbyResponse{{Instance: "j", Term: 7}}, false},
		"a former term":   {[]*sessionv1.StandbyResponse{{Instance: "i", Term: 6}}, false},
		"both, in turn":   {[]*sessionv1.StandbyResponse{{Instance: "j", Term: 7}, {Instance: "i", Term: 7}}, true},
		"nobody":          {nil, false},
	} {
		answered := make(chan bool, 1)
		err := listen(func() (*sessionv1.StandbyResponse, error) {
			if len(tt.says) == 0 {
				return nil, over
			}
			r := tt.says[0]
			tt.says = tt.says[1:]
			return r, nil
		}, "i", 7, answered)
		if !errors.Is(err, over) || isAnswered(answered) != tt.want {
			t.Errorf("%s: answered %t, %v", name, !tt.want, err)
		}
	}
}
