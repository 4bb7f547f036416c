package record_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// roundTrip checks, for one kind of record: what was encoded comes back, equal values give equal bytes, and fields
// of a newer version do no harm.
func roundTrip[R any](t *testing.T, draw func(*rapid.T) R, enc func(R) []byte, dec func([]byte) (R, error)) {
	t.Run(fmt.Sprintf("%T", *new(R)), rapid.MakeCheck(func(t *rapid.T) {
		want := draw(t)
		b := enc(want)
		got, err := dec(b)
		if err != nil {
			t.Fatalf("%v does not decode: %v", want, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("a record changed on its way (-stored +read):\n%s", d)
		}
		if !bytes.Equal(b, enc(got)) {
			t.Fatal("the same value gave other bytes")
		}
		newer := protowire.AppendString(protowire.AppendTag(bytes.Clone(b), 4000, protowire.BytesType), "new")
		if got, err = dec(newer); len(b) > 0 && (err != nil || !cmp.Equal(want, got)) {
			t.Fatalf("a field of a newer version: %v, %v", got, err)
		}
	}))
}

func TestRoundTrip(t *testing.T) {
	roundTrip(t, func(t *rapid.T) record.Cluster { return record.Cluster{Generation: rapid.Uint64().Draw(t, "g")} },
		record.EncodeCluster, record.DecodeCluster)
	roundTrip(t, drawConfig, record.EncodeConfig, record.DecodeConfig)
	roundTrip(t, drawLeader, record.EncodeLeader, record.DecodeLeader)
	roundTrip(t, drawMaintainer, record.EncodeMaintainer, record.DecodeMaintainer)
	roundTrip(t, drawNode, record.EncodeNode, record.DecodeNode)
	roundTrip(t, drawNodeConfig, record.EncodeNodeConfig, record.DecodeNodeConfig)
	roundTrip(t, drawKeyspace, record.EncodeKeyspace, record.DecodeKeyspace)
	roundTrip(t, drawSpan, record.EncodeSpan, record.DecodeSpan)
	roundTrip(t, drawClaim, record.EncodeClaim, record.DecodeClaim)
	roundTrip(t, drawProgress, record.EncodeProgress, record.DecodeProgress)
	roundTrip(t, drawHistory, record.EncodeHistory, record.DecodeHistory)
	roundTrip(t, drawCause, record.EncodeCause, record.DecodeCause)
	roundTrip(t, drawIntent, record.EncodeIntent, record.DecodeIntent)
}

// decoders runs every decoder; the answer is the error.
var decoders = map[string]func([]byte) error{
	"cluster":    func(b []byte) error { _, err := record.DecodeCluster(b); return err },
	"config":     func(b []byte) error { _, err := record.DecodeConfig(b); return err },
	"leader":     func(b []byte) error { _, err := record.DecodeLeader(b); return err },
	"maintainer": func(b []byte) error { _, err := record.DecodeMaintainer(b); return err },
	"node":       func(b []byte) error { _, err := record.DecodeNode(b); return err },
	"nodeconfig": func(b []byte) error { _, err := record.DecodeNodeConfig(b); return err },
	"keyspace":   func(b []byte) error { _, err := record.DecodeKeyspace(b); return err },
	"span":       func(b []byte) error { _, err := record.DecodeSpan(b); return err },
	"claim":      func(b []byte) error { _, err := record.DecodeClaim(b); return err },
	"progress":   func(b []byte) error { _, err := record.DecodeProgress(b); return err },
	"cause":      func(b []byte) error { _, err := record.DecodeCause(b); return err },
	"intent":     func(b []byte) error { _, err := record.DecodeIntent(b); return err },
	"history":    func(b []byte) error { _, err := record.DecodeHistory(b); return err },
}

// Whatever somebody puts under our prefix, a decoder answers; and with our error, so that it is quarantined.
func TestGarbageNeverPanics(t *testing.T) {
	valid := rapid.Custom(func(t *rapid.T) []byte {
		s := drawSpan(t)
		b := record.EncodeSpan(s)
		i := rapid.IntRange(0, len(b)-1).Draw(t, "i")
		b[i] ^= rapid.ByteMin(1).Draw(t, "flip")
		return b
	})
	random := rapid.SliceOf(rapid.Byte())
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.OneOf(random, valid).Draw(t, "bytes")
		for kind, decode := range decoders {
			if err := decode(b); err != nil && !errors.Is(err, record.ErrInvalid) {
				t.Fatalf("%s: %v is not ErrInvalid", kind, err)
			}
		}
	})
}

func TestPlainTextIsRefused(t *testing.T) {
	for _, value := range []string{"hello", "{}", `{"owner":"n1"}`, "0", "true\n", "\xff\xff", strings.Repeat("z", 100), "(@(A"} {
		for kind, decode := range decoders {
			if err := decode([]byte(value)); !errors.Is(err, record.ErrInvalid) {
				t.Errorf("%s takes %q: %v", kind, value, err)
			}
		}
	}
}

func TestEmptyValue(t *testing.T) {
	mayBeEmpty := map[string]bool{"cluster": true, "config": true, "nodeconfig": true, "progress": true}
	for kind, decode := range decoders {
		if err := decode(nil); (err == nil) != mayBeEmpty[kind] {
			t.Errorf("%s of no bytes: %v", kind, err)
		}
	}
}

func TestContradictionsAreRefused(t *testing.T) {
	rng := span.Range{Start: "a", End: "b"}
	intent := record.Intent{Operator: "1-1", Kind: record.KindMove, By: record.ByUser}
	owner := record.Owner{Node: "n1", Session: 7, Token: 9}
	with := func(f func(*record.Intent)) *record.Intent { i := intent; f(&i); return &i }
	spans := map[string]record.Span{
		"inverted range":         {Range: span.Range{Start: "b", End: "a"}},
		"empty range":            {Range: span.Range{Start: "a", End: "a"}},
		"owner without session":  {Range: rng, Owner: record.Owner{Node: "n1", Token: 9}},
		"owner without token":    {Range: rng, Owner: record.Owner{Node: "n1", Session: 7}},
		"owner without node":     {Range: rng, Owner: record.Owner{Session: 7, Token: 9}},
		"last node":              {Range: rng, LastNode: "N/1"},
		"parent":                 {Range: rng, Parents: []string{""}},
		"intent without id":      {Range: rng, Intent: with(func(i *record.Intent) { i.Operator = "" })},
		"intent without kind":    {Range: rng, Intent: with(func(i *record.Intent) { i.Kind = 0 })},
		"intent of unknown kind": {Range: rng, Intent: with(func(i *record.Intent) { i.Kind = 99 })},
		"intent by nobody":       {Range: rng, Intent: with(func(i *record.Intent) { i.By = 0 })},
		"intent by unknown":      {Range: rng, Intent: with(func(i *record.Intent) { i.By = 99 })},
		"split keys":             {Range: rng, Intent: with(func(i *record.Intent) { i.At = []string{"b", "a"} })},
		"mark":                   {Range: rng, Intent: with(func(i *record.Intent) { i.Marks = []record.Mark{{Stage: 77}} })},
		"target":                 {Range: rng, Intent: with(func(i *record.Intent) { i.To = "UP" })},
	}
	for what, s := range spans {
		if _, err := record.DecodeSpan(record.EncodeSpan(s)); !errors.Is(err, record.ErrInvalid) {
			t.Errorf("span with bad %s: %v", what, err)
		}
	}
	good := record.Claim{Operator: "1-1", Kind: record.KindMove, Stage: record.StageClosing, Node: "n1", Session: 7}
	claims := map[string]func(*record.Claim){
		"stage":   func(c *record.Claim) { c.Stage = record.StageQueued },
		"session": func(c *record.Claim) { c.Session = 0 },
		"node":    func(c *record.Claim) { c.Node = "" },
		"kind":    func(c *record.Claim) { c.Kind = 0 },
		"by":      func(c *record.Claim) { c.By = 99 },
		"term":    func(c *record.Claim) { c.Term = -1 },
	}
	for what, spoil := range claims {
		c := good
		spoil(&c)
		if _, err := record.DecodeClaim(record.EncodeClaim(c)); !errors.Is(err, record.ErrInvalid) {
			t.Errorf("claim with bad %s: %v", what, err)
		}
	}
	if _, err := record.DecodeSpan(record.EncodeSpan(record.Span{Range: rng, Owner: owner, Intent: &intent})); err != nil {
		t.Errorf("the span all others are made from: %v", err)
	}
	if _, err := record.DecodeClaim(record.EncodeClaim(good)); err != nil {
		t.Errorf("the claim all others are made from: %v", err)
	}
}

func TestBadProcessesAreRefused(t *testing.T) {
	node := record.Node{Name: "n1", Instance: "i", TTL: 5 * time.Second}
	nodes := map[string]func(*record.Node){
		"name":     func(n *record.Node) { n.Name = "a/b" },
		"instance": func(n *record.Node) { n.Instance = "" },
		"ttl":      func(n *record.Node) { n.TTL = 0 },
		"capacity": func(n *record.Node) { n.Capacity = -1 },
		"ended":    func(n *record.Node) { n.Ended = 9 },
	}
	for what, spoil := range nodes {
		n := node
		spoil(&n)
		if _, err := record.DecodeNode(record.EncodeNode(n)); !errors.Is(err, record.ErrInvalid) {
			t.Errorf("node with bad %s: %v", what, err)
		}
	}
	if _, err := record.DecodeLeader(record.EncodeLeader(record.Leader{Maintainer: "m1"})); err == nil {
		t.Error("a leader without an instance")
	}
	if _, err := record.DecodeLeader(record.EncodeLeader(record.Leader{Resigned: true})); err != nil {
		t.Errorf("a seat that somebody left: %v", err)
	}
	if _, err := record.DecodeKeyspace(record.EncodeKeyspace(record.Keyspace{Workload: "gate"})); err == nil {
		t.Error("a keyspace without a state")
	}
	if _, err := record.DecodeHistory(record.EncodeHistory(record.History{})); err == nil {
		t.Error("a history entry of nothing")
	}
}

// Texts of errors come from workloads and may hold anything; storing them must not fail.
func TestBrokenTextIsStored(t *testing.T) {
	h := record.History{
		Intent:  record.Intent{Operator: "1-1", Kind: record.KindMove, By: record.ByUser},
		Outcome: record.OutcomeFailed, Error: "sink said \xff\xfe",
	}
	got, err := record.DecodeHistory(record.EncodeHistory(h))
	if err != nil || got.Error != "sink said \uFFFD" {
		t.Fatalf("%q, %v", got.Error, err)
	}
}
