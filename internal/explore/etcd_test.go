package explore

import (
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
)

// The flat store does what txn.Store does, which does what etcd does.
func TestTheStoreIsTheModelOfEtcd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newSpace()
		keys := []string{"a", "b", "c"}
		for _, k := range keys {
			p.add(k, kindHistory)
		}
		flat, model := &store{rev: 1}, txn.NewStore()
		key := rapid.SampledFrom(keys)
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			lease := rapid.Int64Range(1, 2).Draw(t, "lease")
			model.Grant(lease) // leases that are gone are refused by whoever sends
			if rapid.IntRange(0, 5).Draw(t, "what") == 0 {
				flat.expire(lease)
				model.Expire(lease)
			} else {
				part := drawPart(t, key, flat)
				done := p.holds(flat, part.If)
				if done {
					p.write(flat, part.Then, lease)
				}
				got, err := model.Apply(lease, txn.Batch{Parts: []txn.Part{part}})
				if err != nil && !errors.Is(err, txn.ErrLease) {
					t.Fatal(err)
				}
				if err == nil && done != (got[0].Outcome == txn.Done) {
					t.Fatalf("done %t, and the model says %+v", done, got[0])
				}
			}
			if d := differences(p, flat, model); d != "" {
				t.Fatal(d)
			}
		}
	})
}

func drawPart(t *rapid.T, key *rapid.Generator[string], s *store) txn.Part {
	var p txn.Part
	for range rapid.IntRange(0, 2).Draw(t, "compares") {
		rev := rapid.Int64Range(0, s.rev).Draw(t, "revision")
		p.If = append(p.If, txn.Cmp{Key: key.Draw(t, "key"), By: rapid.SampledFrom([]txn.CmpBy{txn.ByMod, txn.ByCreate}).Draw(t, "by"), Rev: rev})
	}
	for _, k := range rapid.SliceOfNDistinct(key, 0, 2, rapid.ID[string]).Draw(t, "writes") {
		h := record.History{Intent: record.Intent{Operator: "1-1", Kind: record.KindMove, By: record.ByUser}, Outcome: record.OutcomeDone}
		switch rapid.IntRange(0, 2).Draw(t, "op") {
		case 0:
			p.Then = append(p.Then, txn.Delete(k))
		case 1:
			p.Then = append(p.Then, txn.Put(k, record.EncodeHistory(h)))
		default:
			h.Outcome = record.OutcomeFailed
			p.Then = append(p.Then, txn.PutLeased(k, record.EncodeHistory(h)))
		}
	}
	return p
}

func differences(p *space, flat *store, model *txn.Store) string {
	if flat.rev != model.Revision() {
		return fmt.Sprintf("revision %d, the model is at %d", flat.rev, model.Revision())
	}
	for id, key := range p.names {
		e := flat.kvs[id]
		want, ok := model.Get(key)
		switch {
		case ok != (e.val != nil):
			return fmt.Sprintf("%s: present %t, in the model %t", key, e.val != nil, ok)
		case ok && (e.mod != want.Mod || e.create != want.Create || e.own != want.Lease || string(e.val.raw) != string(want.Value)):
			return fmt.Sprintf("%s: %+v, in the model %+v", key, e, want)
		}
	}
	return ""
}
