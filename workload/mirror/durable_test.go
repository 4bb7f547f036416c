package mirror

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
)

// suspicious is a Reporter that looks at the destination whenever it is told a position: revision base+n of the source
// put the nth key.
type suspicious struct {
	*reports
	d *clientv3.Client
	t *testing.T

	mu   sync.Mutex
	base uint64 // 0 as long as nothing was put
	most uint64
}

func (s *suspicious) Report(st dispatcher.Status) {
	s.reports.Report(st)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base == 0 || !st.Checkpoint.Known || st.Checkpoint.At <= s.base {
		return
	}
	r, err := s.d.Get(s.t.Context(), "durable", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return // the test is over
	}
	if want := min(st.Checkpoint.At-s.base, s.most); uint64(r.Count) < want {
		s.t.Errorf("told position %d, and %d of %d keys are there", st.Checkpoint.At, r.Count, want)
	}
}

// Whoever opens the span next goes on from the position that was told: nothing up to it may still be on its way.
func TestAPositionIsToldOnceItIsDurable(t *testing.T) {
	p := newPair(t)
	s := &suspicious{reports: &reports{}, d: p.d, t: t, most: 50}
	in, err := p.w.Open(t.Context(), p.task(all, unknown), s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.Abort)
	p.caughtUp(s.reports)
	s.mu.Lock()
	s.base = uint64(p.head())
	s.mu.Unlock()
	for i := range s.most {
		p.put(fmt.Sprintf("durable%02d", i), "v")
	}
	p.caughtUp(s.reports)
}

// holding is a destination that can lose a transaction on its way: its sender gets no answer, and it lands whenever the
// test says so.
type holding struct {
	clientv3.KV
	d    *clientv3.Client // outlives the instance, like a network
	mu   sync.Mutex
	next bool
	held clientv3.Txn
}

func (h *holding) Txn(ctx context.Context) clientv3.Txn {
	return &heldTxn{Txn: h.d.Txn(context.WithoutCancel(ctx)), holding: h}
}

// heldTxn is lost if it carries a value of the test.
type heldTxn struct {
	clientv3.Txn
	holding *holding
	data    bool
}

func (t *heldTxn) If(c ...clientv3.Cmp) clientv3.Txn { t.Txn = t.Txn.If(c...); return t }

func (t *heldTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, op := range ops {
		t.data = t.data || op.IsPut() && strings.HasPrefix(string(op.ValueBytes()), "late")
	}
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *heldTxn) Else(ops ...clientv3.Op) clientv3.Txn { t.Txn = t.Txn.Else(ops...); return t }

func (t *heldTxn) Commit() (*clientv3.TxnResponse, error) {
	h := t.holding
	h.mu.Lock()
	hold := t.data && h.next
	if hold {
		h.next, h.held = false, t.Txn
	}
	h.mu.Unlock()
	if hold {
		return nil, errNoAnswer
	}
	return t.Txn.Commit()
}

func (h *holding) caught() clientv3.Txn {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held
}

// Closed means that nothing can follow: a write that was sent before, and never answered, has landed or never will.
func TestNothingLandsAfterClose(t *testing.T) {
	p := newPair(t)
	h := &holding{d: p.d, next: true}
	var err error
	p.w, err = New(Config{Log: zap.NewNop(), Connect: func(_ context.Context, e Etcd) (*clientv3.Client, error) {
		if e.Setting == "source" {
			return p.src.Client(t), nil
		}
		c := p.dst.Client(t)
		h.KV, c.KV = c.KV, h
		return c, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	in, r := p.start(all, unknown)
	p.caughtUp(r)
	p.put("k", "late")
	eventually(t, "a write is on its way", func() bool { return h.caught() != nil })
	at := closed(t, in)
	before := data(t, p.d)
	resp, err := h.caught().Commit()
	if err != nil || resp.Succeeded {
		t.Errorf("a write has landed after the span was closed at %v: %v", at, err)
	}
	sameData(t, before, data(t, p.d))
}
