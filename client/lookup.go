package client

import (
	"context"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

// Owner is where a key is worked on.
type Owner struct {
	Keyspace string
	Span     span.ID
	Node     string
	Address  string
	// Token is what the sink of the span is fenced with.
	Token uint64
	State string
}

// Lookup says who owns a key. With an error of reason Failed no span has the key; with Unavailable and a span in the
// answer nobody owns it at the moment.
func (c *Client) Lookup(ctx context.Context, keyspace, key string) (Owner, error) {
	resp, err := c.Control().Lookup(ctx, &controlv1.LookupRequest{Keyspace: keyspace, Key: []byte(key)})
	if err != nil {
		return Owner{}, err
	}
	o := Owner{
		Keyspace: keyspace, Span: span.ID(resp.GetSpan()), Node: resp.GetNode(), Address: resp.GetAddress(),
		Token: resp.GetToken(), State: resp.GetState(),
	}
	return o, o.check(key)
}

func (o Owner) check(key string) error {
	if o.Span == "" {
		return fault.New(fault.Failed, "no span of keyspace %s covers the key", o.Keyspace).On("key", span.EscapeKey(key)).
			Fix("add a span that does with `spanward span add`")
	}
	if o.State == "paused" {
		return fault.New(fault.Unavailable, "nobody owns span %s: keyspace %s is paused", o.Span, o.Keyspace).
			On("key", span.EscapeKey(key)).Fix("run `spanward keyspace resume %s`", o.Keyspace)
	}
	if o.Node == "" {
		return fault.New(fault.Unavailable, "nobody owns span %s at the moment, it is %s", o.Span, o.State).
			On("key", span.EscapeKey(key)).Fix("ask again in a moment")
	}
	return nil
}
