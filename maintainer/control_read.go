package maintainer

import (
	"context"
	"slices"
	"strconv"
	"time"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/keys"
	"github.com/spanward/spanward/operator"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// The reads take what they need from the view in one go, so that an answer is true of one revision, and render it after
// they have let go of it: a long listing must not hold the view up.

const (
	// spansPerPage bounds a message of a listing.
	spansPerPage = 1000
	// defaultOperators is how many operators a listing has if the caller does not say, maxOperators how many he may ask for:
	// as many fit into one message.
	defaultOperators = 10_000
	maxOperators     = 50_000
)

func (c *control) getStatus(_ context.Context, t *term, _ *controlv1.GetStatusRequest) (*controlv1.GetStatusResponse, error) {
	var f statusFacts
	c.view.Read(func(s *view.State) { f = statusOf(s) })
	return renderStatus(f, t.known, time.Now()), nil
}

func (c *control) listKeyspaces(_ context.Context, t *term, q *controlv1.ListKeyspacesRequest) (*controlv1.ListKeyspacesResponse, error) {
	type facts struct {
		ks     *view.Keyspace
		spans  []spanFacts
		hidden int
	}
	var all []facts
	var err error
	c.view.Read(func(s *view.State) {
		if q.GetName() != "" {
			if _, err = keyspaceNamed(s, "keyspace", q.GetName()); err != nil {
				return
			}
		}
		for ks := range s.Keyspaces() {
			if q.GetName() == "" || ks.Name == q.GetName() {
				all = append(all, facts{ks, spansOf(s, ks.Name), s.QuarantinedSpans(ks.Name)})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListKeyspacesResponse{}
	now := time.Now()
	for _, f := range all {
		out.Keyspaces = append(out.Keyspaces, renderKeyspace(keyspaceLook{f.ks, lookAll(f.spans, t.known, now), f.hidden}))
	}
	return out, nil
}

// renderedKeyspace is one keyspace as it is now, nil if it is no more.
func (c *control) renderedKeyspace(t *term, name string) *controlv1.Keyspace {
	var l keyspaceLook
	var facts []spanFacts
	c.view.Read(func(s *view.State) {
		l.Keyspace, l.hidden, facts = s.Keyspace(name), s.QuarantinedSpans(name), spansOf(s, name)
	})
	if l.Keyspace == nil {
		return &controlv1.Keyspace{Name: name}
	}
	l.spans = lookAll(facts, t.known, time.Now())
	return renderKeyspace(l)
}

func (c *control) listSpans(ctx context.Context, t *term, q *controlv1.ListSpansRequest, send func(*controlv1.ListSpansResponse) error) error {
	var facts []spanFacts
	var hidden []*view.Quarantine
	var err error
	c.view.Read(func(s *view.State) { facts, hidden, err = chosenSpans(s, q) })
	if err != nil {
		return err
	}
	now := time.Now()
	page := make([]*controlv1.Span, 0, min(spansPerPage, len(facts)))
	for _, h := range hidden {
		page = append(page, renderHidden(h))
	}
	for _, f := range facts {
		if len(page) >= spansPerPage {
			if err := send(&controlv1.ListSpansResponse{Spans: page}); err != nil {
				return err
			}
			page = make([]*controlv1.Span, 0, spansPerPage)
		}
		page = append(page, renderSpan(look(f, t.known, now)))
		if q.GetSpan() != "" {
			page[len(page)-1].Next = consult(ctx, t, func(l *loop) string { return l.explain(f.Ref, time.Now()) })
		}
	}
	return send(&controlv1.ListSpansResponse{Spans: page})
}

// chosenSpans are those that a request asks for. Naming what does not exist is an error, so that a mistyped name does not
// look like an empty keyspace.
func chosenSpans(s *view.State, q *controlv1.ListSpansRequest) (facts []spanFacts, hidden []*view.Quarantine, err error) {
	spaces := s.Names()
	if ks := q.GetKeyspace(); ks != "" {
		if spaces = []string{ks}; s.SpanCount(ks)+s.QuarantinedSpans(ks) == 0 {
			if _, err := keyspaceNamed(s, "keyspace", ks); err != nil {
				return nil, nil, err
			}
		}
	}
	if node := q.GetNode(); node != "" {
		if _, ok := nodeFactsOf(s, node); !ok {
			return nil, nil, unknownNode("node", node)
		}
	}
	for _, ks := range spaces {
		facts = append(facts, spansIn(s, ks, q)...)
	}
	for h := range s.Quarantined() {
		mine := h.Parsed.Kind == keys.Span && (q.GetKeyspace() == "" || q.GetKeyspace() == h.Parsed.Keyspace)
		if mine && q.GetNode() == "" && (q.GetSpan() == "" || q.GetSpan() == string(h.Parsed.Span)) {
			hidden = append(hidden, h)
		}
	}
	if q.GetSpan() != "" && len(facts)+len(hidden) == 0 {
		return nil, nil, unknownSpan(s, spaces, span.ID(q.GetSpan()))
	}
	return facts, hidden, nil
}

func spansIn(s *view.State, keyspace string, q *controlv1.ListSpansRequest) []spanFacts {
	var facts []spanFacts
	if id := q.GetSpan(); id != "" {
		if sp := s.Span(operator.Ref{Keyspace: keyspace, ID: span.ID(id)}); sp != nil {
			f := factsOf(s, sp)
			f.parents, f.children = lineage(s, sp)
			facts = []spanFacts{f}
		}
	} else {
		facts = spansOf(s, keyspace)
	}
	if node := q.GetNode(); node != "" {
		facts = slices.DeleteFunc(facts, func(f spanFacts) bool { return f.Owner.Node != node })
	}
	return facts
}

func (c *control) listOperators(_ context.Context, t *term, q *controlv1.ListOperatorsRequest) (*controlv1.ListOperatorsResponse, error) {
	f, err := filterOf(q)
	if err != nil {
		return nil, err
	}
	out := &controlv1.ListOperatorsResponse{}
	var over []*view.History
	c.view.Read(func(s *view.State) {
		if ks := q.GetKeyspace(); ks != "" && s.HistoryCount(ks) == 0 {
			if _, err = keyspaceNamed(s, "keyspace", ks); err != nil {
				return
			}
		}
		switch {
		case q.GetId() != "":
			out.Operators, err = chosenOperator(s, t.known, q.GetId())
		case q.GetFinished():
			over, out.More = finished(s, f, limit(q))
		default:
			out.Operators, out.More = flying(s, t.known, f, limit(q))
		}
	})
	for _, h := range over {
		out.Operators = append(out.Operators, renderFinished(h))
	}
	return out, err
}

func filterOf(q *controlv1.ListOperatorsRequest) (filter, error) {
	f := filter{keyspace: q.GetKeyspace(), span: q.GetSpan(), kind: q.GetType(), outcome: q.GetOutcome()}
	if q.GetSince() != nil {
		f.since = q.GetSince().AsTime()
	}
	if f.kind != "" {
		if _, err := record.ParseKind(f.kind); err != nil {
			return f, fault.New(fault.InvalidArgument, "is no type of operator").On("type", f.kind).Fix("use add, remove, move, split, merge or keyspace")
		}
	}
	if f.outcome != "" {
		if _, err := record.ParseOutcome(f.outcome); err != nil {
			return f, fault.New(fault.InvalidArgument, "is no outcome").On("outcome", f.outcome).Fix("use done, failed or cancelled")
		}
	}
	if q.GetLimit() < 0 || q.GetLimit() > maxOperators {
		return f, fault.New(fault.InvalidArgument, "is not from 1 to %d", maxOperators).On("limit", strconv.FormatInt(q.GetLimit(), 10)).
			Fix("leave it out for %d; ask for one keyspace, span or type at a time if that is not enough", defaultOperators)
	}
	return f, nil
}

func limit(q *controlv1.ListOperatorsRequest) int {
	if q.GetLimit() == 0 {
		return defaultOperators
	}
	return int(q.GetLimit())
}

func chosenOperator(s *view.State, k *known, id string) ([]*controlv1.Operator, error) {
	if o := operatorByID(s, id); o != nil {
		if o.GetOutcome() == "" {
			k.addFailure(o)
		}
		return []*controlv1.Operator{aged(o, time.Now())}, nil
	}
	return nil, unknownOperator(id)
}

func unknownOperator(id string) error {
	return fault.New(fault.UnknownOperator, "is not known, or no longer").On("operator", id).
		Fix("see `spanward operator list` and `spanward history`")
}

// flying are the youngest operators in flight that match, the oldest of them first, and whether there are more.
func flying(s *view.State, k *known, f filter, limit int) (out []*controlv1.Operator, more bool) {
	now := time.Now()
	for _, o := range withFailures(s, k, inFlight(s)) {
		if f.matches(o.Operator) {
			out = append(out, aged(o.Operator, now))
		}
	}
	return out[max(0, len(out)-limit):], len(out) > limit
}

func (c *control) listNodes(_ context.Context, t *term, q *controlv1.ListNodesRequest) (*controlv1.ListNodesResponse, error) {
	var all []nodeFacts
	c.view.Read(func(s *view.State) { all = nodesOf(s) })
	out := &controlv1.ListNodesResponse{}
	elapsed := c.elapsed()
	for _, f := range all {
		if q.GetName() == "" || q.GetName() == f.name {
			out.Nodes = append(out.Nodes, renderNode(f, t.known.node(f.session()), elapsed))
		}
	}
	if q.GetName() != "" && len(out.Nodes) == 0 {
		return nil, unknownNode("node", q.GetName())
	}
	return out, nil
}

// lookup answers with an empty span where none covers the key, and an empty node where nobody owns it.
func (c *control) lookup(_ context.Context, t *term, q *controlv1.LookupRequest) (*controlv1.LookupResponse, error) {
	name, key := q.GetKeyspace(), string(q.GetKey())
	if len(key) > span.MaxKeyBytes {
		return nil, fault.New(fault.InvalidKey, "has %d bytes, and a key has at most %d", len(key), span.MaxKeyBytes).
			On("key", span.EscapeKey(key)).Fix("shorten it")
	}
	var facts *spanFacts
	var node *view.Node
	var err error
	c.view.Read(func(s *view.State) {
		if _, err = keyspaceNamed(s, "keyspace", name); err != nil {
			return
		}
		if sp := s.Lookup(name, key); sp != nil {
			f := factsOf(s, sp)
			facts, node = &f, s.Session(sp.Owner.Session)
		} else if s.QuarantinedSpans(name) > 0 {
			err = fault.New(fault.Unavailable, "a span record of keyspace %s cannot be read, and may cover the key", name).
				On("key", span.EscapeKey(key)).Fix("see problems in `spanward status`")
		}
	})
	if err != nil || facts == nil {
		return renderLookup(name, key, nil, nil), err
	}
	l := look(*facts, t.known, time.Now())
	return renderLookup(name, key, &l, node), nil
}
