package output

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	controlv1 "github.com/spanward/spanward/api/control/v1"
)

// Plan is the answer of plan, and what plan apply reads.
type Plan struct {
	Cluster string `json:"cluster"`
	// Revision of the records that it was made on.
	Revision int64 `json:"revision"`
	// Drain, AddNodes and RemoveNodes are what was asked for.
	Drain       []string       `json:"drain"`
	AddNodes    []PlanNewNode  `json:"add_nodes"`
	RemoveNodes []string       `json:"remove_nodes"`
	Operators   []PlanOperator `json:"operators"`
	Nodes       []PlanNode     `json:"nodes"`
	Stuck       []PlanStuck    `json:"stuck"`
	// Paused are planners that would not act on it now.
	Paused []string `json:"paused"`
	// Digest of all else, by which a plan that was edited is found out.
	Digest string `json:"digest"`
}

// PlanNewNode is a node that there is not yet.
type PlanNewNode struct {
	Name   string            `json:"name"`
	Labels map[string]string `json:"labels"`
	// Capacity 0 is no limit, as for every node.
	Capacity int64   `json:"capacity"`
	Weight   float64 `json:"weight"`
	// Workloads that it runs; none are all that other nodes run.
	Workloads []string `json:"workloads"`
}

// PlanOperator is one that would follow.
type PlanOperator struct {
	Type     string     `json:"type"`
	Keyspace string     `json:"keyspace"`
	Spans    []PlanSpan `json:"spans"`
	From     Text       `json:"from"`
	To       Text       `json:"to"`
	At       []Key      `json:"at"`
	By       Text       `json:"by"`
	Reason   Text       `json:"reason"`
	// Load and Size are of what has no owner for a moment.
	Load *float64 `json:"load"`
	Size *float64 `json:"size"`
}

// PlanSpan is a span as it was when the plan was made.
type PlanSpan struct {
	ID       string `json:"id"`
	Revision int64  `json:"revision"`
}

// PlanNode is what a node carries before and after the plan.
type PlanNode struct {
	Name        string  `json:"name"`
	State       string  `json:"state"`
	SpansBefore int64   `json:"spans_before"`
	SpansAfter  int64   `json:"spans_after"`
	LoadBefore  float64 `json:"load_before"`
	LoadAfter   float64 `json:"load_after"`
	Weight      float64 `json:"weight"`
	Capacity    int64   `json:"capacity"`
}

// PlanStuck is a span that should go somewhere and can not.
type PlanStuck struct {
	Keyspace string `json:"keyspace"`
	Span     string `json:"span"`
	Node     Text   `json:"node"`
	Reason   string `json:"reason"`
}

// FromPlan gives the shape of a plan: what was asked, and the whole answer. Its operators stay in the order in which they
// would be accepted.
func FromPlan(req *controlv1.PlanRequest, p *controlv1.PlanResponse) Plan {
	out := Plan{
		Cluster: req.GetCluster(), Revision: p.GetRevision(),
		Drain: some(req.GetDrain()), RemoveNodes: some(req.GetRemoveNode()),
		AddNodes: each(req.GetAddNode(), func(n *controlv1.PlanRequest_AddedNode) PlanNewNode {
			return PlanNewNode{
				Name: n.GetName(), Labels: someMap(n.GetLabels()), Capacity: n.GetCapacity(), Weight: n.GetWeight(), Workloads: some(n.GetWorkloads()),
			}
		}),
		Operators: each(p.GetOperators(), fromPlanned),
		Nodes: each(p.GetNodes(), func(n *controlv1.PlannedNode) PlanNode {
			return PlanNode{
				Name: n.GetName(), State: n.GetState(), SpansBefore: n.GetSpansBefore(), SpansAfter: n.GetSpansAfter(),
				LoadBefore: n.GetLoadBefore(), LoadAfter: n.GetLoadAfter(), Weight: n.GetWeight(), Capacity: n.GetCapacity(),
			}
		}),
		Stuck: each(p.GetStuck(), func(s *controlv1.PlannedStuck) PlanStuck {
			return PlanStuck{Keyspace: s.GetKeyspace(), Span: s.GetSpan(), Node: Text(s.GetNode()), Reason: s.GetReason()}
		}),
		Paused: some(p.GetPaused()),
	}
	out.Digest = out.digest()
	return out
}

func fromPlanned(o *controlv1.PlannedOperator) PlanOperator {
	return PlanOperator{
		Type: o.GetType(), Keyspace: o.GetKeyspace(),
		Spans: each(o.GetSpans(), func(s *controlv1.PlannedSpan) PlanSpan { return PlanSpan{ID: s.GetId(), Revision: s.GetRevision()} }),
		From:  Text(o.GetFrom()), To: Text(o.GetTo()), At: each(o.GetAt(), func(k []byte) Key { return Key(k) }),
		By: Text(o.GetBy()), Reason: Text(o.GetReason()), Load: o.Load, Size: o.Size,
	}
}

// Planned is the operator as it is asked for.
func (o PlanOperator) Planned() *controlv1.PlannedOperator {
	return &controlv1.PlannedOperator{
		Type: o.Type, Keyspace: o.Keyspace,
		Spans: each(o.Spans, func(s PlanSpan) *controlv1.PlannedSpan { return &controlv1.PlannedSpan{Id: s.ID, Revision: s.Revision} }),
		From:  string(o.From), To: string(o.To), At: each(o.At, func(k Key) []byte { return []byte(k) }),
		By: string(o.By), Reason: string(o.Reason), Load: o.Load, Size: o.Size,
	}
}

// SpanIDs are the names of its spans.
func (o PlanOperator) SpanIDs() []string {
	return each(o.Spans, func(s PlanSpan) string { return s.ID })
}

// Unchanged reports whether the plan is as it was made. How its text is laid out does not matter.
func (p Plan) Unchanged() bool { return p.Digest == p.digest() }

// digest is over the plan as it is printed on one line, without the digest itself. What cannot be printed has none.
func (p Plan) digest() string {
	p.Digest = ""
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(p); err != nil {
		return "none: " + err.Error()
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:])
}

// Applied is the answer of plan apply.
type Applied struct {
	Operators []Operator `json:"operators"`
	Refused   []Refused  `json:"refused"`
}

// Refused is an operator of a plan that was not accepted.
type Refused struct {
	Type     string   `json:"type"`
	Keyspace string   `json:"keyspace"`
	Spans    []string `json:"spans"`
	From     Text     `json:"from"`
	To       Text     `json:"to"`
	// Reason is a constant, as that of every error.
	Reason  string `json:"reason"`
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// Refuse makes a refusal of an operator.
func (o PlanOperator) Refuse(reason, message, remedy string) Refused {
	return Refused{
		Type: o.Type, Keyspace: o.Keyspace, Spans: o.SpanIDs(), From: o.From, To: o.To, Reason: reason, Message: message, Remedy: remedy,
	}
}

// Checked is the answer of plan apply --dry-run.
type Checked struct {
	Operators []PlanOperator `json:"operators"`
	Refused   []Refused      `json:"refused"`
}
