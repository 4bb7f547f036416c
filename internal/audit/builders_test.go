package audit

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
)

// crew drives the transactions that Spanward itself builds, against a real etcd.
type crew struct {
	*world
	t     *testing.T
	c     *clientv3.Client
	lease map[string]clientv3.LeaseID
	now   time.Time
}

func (c *crew) get(key string) (txn.KV, bool) {
	c.t.Helper()
	resp, err := c.c.Get(c.t.Context(), key)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(resp.Kvs) == 0 {
		return txn.KV{}, false
	}
	kv := resp.Kvs[0]
	return txn.KV{Value: kv.Value, Mod: kv.ModRevision, Create: kv.CreateRevision}, true
}

func (c *crew) join(node string) {
	c.t.Helper()
	l, err := c.c.Grant(c.t.Context(), 3600)
	if err != nil {
		c.t.Fatal(err)
	}
	c.lease[node] = l.ID
	n := record.Node{Name: node, Instance: "i", TTL: time.Second, Lease: int64(l.ID)}
	if _, err := c.c.Put(c.t.Context(), c.layout.Node(node), string(record.EncodeNode(n)), clientv3.WithLease(l.ID)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crew) leave(node string) {
	c.t.Helper()
	if _, err := c.c.Revoke(c.t.Context(), c.lease[node]); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crew) me(node string) operator.Identity {
	kv, _ := c.get(c.layout.Node(node))
	return operator.Identity{Node: node, Session: kv.Create}
}

func (c *crew) at(id span.ID) operator.Span {
	c.t.Helper()
	kv, _ := c.get(c.layout.Span(ks, id))
	s, err := record.DecodeSpan(kv.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return operator.Span{Ref: operator.Ref{Keyspace: ks, ID: id}, Span: s, Mod: kv.Mod}
}

func (c *crew) held(id span.ID) operator.Claim {
	c.t.Helper()
	kv, _ := c.get(c.layout.Operator(ks, id))
	v, err := record.DecodeClaim(kv.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return operator.Claim{Claim: v, Mod: kv.Mod}
}

func (c *crew) keyspace() operator.Keyspace {
	kv, _ := c.get(c.layout.Keyspace(ks))
	v, err := record.DecodeKeyspace(kv.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return operator.Keyspace{Keyspace: v, Name: ks, Mod: kv.Mod}
}

// term is the mod revision of the leader key.
func (c *crew) term() int64 {
	kv, _ := c.get(c.layout.Leader())
	return kv.Mod
}

// do sends parts that must be done, on the node's lease if there is one.
func (c *crew) do(node string, parts ...txn.Part) {
	c.t.Helper()
	res, err := etcdx.Run(c.t.Context(), c.c, c.lease[node], txn.Batch{Parts: parts})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, r := range res {
		if r.Outcome != txn.Done {
			c.t.Fatalf("refused: %+v", r)
		}
	}
}

func (c *crew) claimOf(node string, stage record.Stage, id span.ID) txn.Part {
	me, s := c.me(node), c.at(id)
	v := record.Claim{Stage: stage, Node: node, Session: me.Session, Term: c.term(), By: record.ByPlacement}
	if s.Intent != nil {
		v.Operator, v.Kind = s.Intent.Operator, s.Intent.Kind
	}
	return operator.ClaimSpan(c.layout, s, v)
}

func (c *crew) open(node string, ids ...span.ID) {
	c.t.Helper()
	var claims, commits []txn.Part
	for _, id := range ids {
		claims = append(claims, c.claimOf(node, record.StageOpening, id))
	}
	c.do(node, claims...)
	for _, id := range ids {
		h, me := c.held(id), c.me(node)
		o := record.Owner{Node: node, Session: me.Session, Token: operator.Token(0, h.Mod)}
		commits = append(commits, operator.Commit(c.layout, c.at(id), h, o, c.at(id).Checkpoint, c.now))
	}
	c.do(node, commits...)
}

func (c *crew) intent(kind record.Kind, id span.ID) *record.Intent {
	op := c.operatorID()
	return &record.Intent{Operator: op, Kind: kind, By: record.ByUser, RequestID: "r" + op, Spans: []string{string(id)}}
}

func (c *crew) operatorID() string {
	c.store[c.layout.Leader()] = Change{Mod: c.term()}
	return c.nextOperator()
}

// The transactions that Spanward builds, followed by the book, are not reported: two readings of one design agree.
func TestTheBuildersAgree(t *testing.T) {
	inBubble(t, func(t *testing.T, b *etcdtest.Bubble, w *world) {
		c := &crew{world: w, t: t, c: b.Client(), lease: map[string]clientv3.LeaseID{}, now: time.Unix(1, 0)}
		l := record.Leader{Maintainer: "m", Instance: "i"}
		c.do("", txn.Part{Then: []txn.Op{txn.Put(c.layout.Leader(), record.EncodeLeader(l))}})
		c.join("n1")
		c.join("n2")
		k := operator.Keyspace{Name: ks, Keyspace: record.Keyspace{Workload: "gate", State: record.KeyspaceCreating, CreatedBy: c.operatorID(), ExpectedSpans: 1}}
		c.do("", operator.BeginKeyspace(c.layout, k))
		c.do("", operator.PutNewSpan(c.layout, c.keyspace(), operator.Span{Ref: operator.Ref{Keyspace: ks, ID: "a"}, Span: record.Span{Range: rangeOf("", "m")}}))
		k = c.keyspace()
		next := k.Keyspace
		next.State = record.KeyspaceRunning
		next.RangeGeneration++
		c.do("", operator.SetKeyspace(c.layout, k, next, &record.History{
			Intent: record.Intent{Operator: k.CreatedBy, Kind: record.KindKeyspace, By: record.ByUser}, Outcome: record.OutcomeDone,
		}))
		added := operator.Span{Ref: operator.Ref{Keyspace: ks, ID: "b"}, Span: record.Span{Range: rangeOf("m", "")}}
		c.do("", operator.Add(c.layout, c.keyspace(), added, c.intent(record.KindAdd, "b"), c.now))
		c.open("n1", "a", "b")
		c.do("", operator.PutProgress(c.layout, ks, 1, record.Progress{"a": 5}, 0))

		// A move, whole.
		c.do("", operator.Accept(c.layout, []operator.Span{c.at("a")}, c.intent(record.KindMove, "a")))
		c.do("n1", c.claimOf("n1", record.StageClosing, "a"))
		c.do("n1", operator.HandOff(c.layout, c.at("a"), c.held("a"), record.At(7), c.now))
		c.open("n2", "a")
		// One that fails before it begins, and an instance that opens again and gives up.
		c.do("", operator.Accept(c.layout, []operator.Span{c.at("a")}, c.intent(record.KindMove, "a")))
		c.do("", operator.End(c.layout, operator.EarlyEnd{Members: []operator.Held{{Span: c.at("a")}}, Outcome: record.OutcomeFailed, Error: "no"}, c.now))
		c.do("n2", c.claimOf("n2", record.StageOpening, "a"))
		c.do("n2", operator.AbortOpening(c.layout, c.at("a"), c.held("a"), c.me("n2")))
		c.open("n2", "a")
		// A hand-back, a fail-over and a remove whose owner is gone.
		c.do("n2", operator.HandBack(c.layout, c.at("a"), record.At(9)))
		c.do("", operator.Accept(c.layout, []operator.Span{c.at("b")}, c.intent(record.KindRemove, "b")))
		c.leave("n1")
		c.open("n2", "a", "b")
		c.do("n2", c.claimOf("n2", record.StageClosing, "b"))
		c.do("n2", operator.Remove(c.layout, c.at("b"), c.held("b"), c.now))
		// A claim whose node key was deleted by hand.
		c.join("n1")
		c.do("", operator.Accept(c.layout, []operator.Span{c.at("a")}, c.intent(record.KindMove, "a")))
		c.do("n2", c.claimOf("n2", record.StageClosing, "a"))
		c.do("", txn.Part{Then: []txn.Op{txn.Delete(c.layout.Node("n2"))}})
		c.do("", operator.DropClaim(c.layout, c.at("a").Ref, c.held("a"), 0))
		c.open("n1", "a")

		Check(t, b.Client(), c.layout)
	})
}
