package txn_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/txn"
)

// That the model does what etcd does is tested in internal/etcdx, against etcd. Here is what only the model has.

func one(p txn.Part) txn.Batch { return txn.Batch{Parts: []txn.Part{p}} }

func TestCloneIsIndependent(t *testing.T) {
	a := txn.NewStore()
	put := func(s *txn.Store, key, value string) {
		if _, err := s.Apply(0, one(txn.Part{Then: []txn.Op{txn.Put(key, []byte(value))}})); err != nil {
			t.Fatal(err)
		}
	}
	put(a, "k", "1")
	b := a.Clone()
	put(a, "k", "2")
	put(b, "k", "3")
	put(b, "l", "4")
	if kv, _ := a.Get("k"); string(kv.Value) != "2" || a.Revision() != 3 {
		t.Errorf("the original sees %q at %d", kv.Value, a.Revision())
	}
	if kv, _ := b.Get("k"); string(kv.Value) != "3" || b.Revision() != 4 {
		t.Errorf("the clone sees %q at %d", kv.Value, b.Revision())
	}
	if len(a.History()) != 2 || len(b.History()) != 3 {
		t.Errorf("histories of %d and %d revisions", len(a.History()), len(b.History()))
	}
	if string(a.History()[1].Changes[0].KV.Value) != "2" {
		t.Error("the clone wrote into the history of the original")
	}
}

func TestExpiryIsOneRevision(t *testing.T) {
	s := txn.NewStore()
	s.Grant(7)
	_, err := s.Apply(7, one(txn.Part{Then: []txn.Op{
		txn.PutLeased("b", nil), txn.PutLeased("a", nil), txn.Put("c", nil),
	}}))
	if err != nil {
		t.Fatal(err)
	}
	s.Expire(7)
	last := s.History()[1]
	var gone []string
	for _, c := range last.Changes {
		if c.Deleted {
			gone = append(gone, c.Key)
		}
	}
	if d := cmp.Diff([]string{"a", "b"}, gone); d != "" || last.Rev != 3 {
		t.Errorf("at %d:\n%s", last.Rev, d)
	}
	if _, err := s.Apply(7, one(txn.Part{Then: []txn.Op{txn.PutLeased("d", nil)}})); !errors.Is(err, txn.ErrLease) {
		t.Errorf("a put on a lease that is gone: %v", err)
	}
	s.Expire(7)
	if s.Revision() != 3 {
		t.Error("an expiry without keys made a revision")
	}
}

func TestOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		part txn.Part
		want bool
	}{
		{"read", txn.Part{If: []txn.Cmp{txn.At("k", 3)}}, true},
		{"blind put", txn.Part{Then: []txn.Op{txn.Put("k", nil)}}, false},
		{"cas", txn.Part{If: []txn.Cmp{txn.At("k", 3)}, Then: []txn.Op{txn.Put("k", nil)}}, true},
		{"cas of another key", txn.Part{If: []txn.Cmp{txn.At("l", 3)}, Then: []txn.Op{txn.Put("k", nil)}}, false},
		{"create", txn.Part{If: []txn.Cmp{txn.Absent("k")}, Then: []txn.Op{txn.Put("k", nil)}}, true},
		{"rewrite of a creation", txn.Part{If: []txn.Cmp{txn.Created("k", 3)}, Then: []txn.Op{txn.Put("k", nil)}}, false},
		{"end of a creation", txn.Part{If: []txn.Cmp{txn.Created("k", 3)}, Then: []txn.Op{txn.Delete("k")}}, true},
		{"delete of nothing", txn.Part{If: []txn.Cmp{txn.Absent("k")}, Then: []txn.Op{txn.Delete("k")}}, false},
	} {
		if got := c.part.Once(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
