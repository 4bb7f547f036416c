package mirror

import (
	"context"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// opTimeout bounds every call but watches.
const opTimeout = 10 * time.Second

// absorbAtOnce is how many segments one transaction takes over: two compares and two deletes each.
const absorbAtOnce = 40

// fenceTries bounds how often taking over starts again because somebody else changed the segments meanwhile.
const fenceTries = 100

// A fencer takes over ranges at a destination etcd.
//
// Two processes that take over overlapping ranges at once must not miss each other, and those with disjoint ranges must
// not wait for each other. So each first puts its own segment, and only then lists the others: of two that overlap at
// least one sees the other. The greater token takes, the smaller one refuses itself. What is taken is deleted, or cut
// down to what is outside the range, comparing that it is as it was read.
//
// The spans of a split open all at once, with one token, and out of one segment: one of them takes it, the others try
// again with what that left of it, so that after a few rounds all have found their piece.
type fencer struct {
	kv   clientv3.KV
	keys layout
	all  *lister // shared with others; nil for none
}

// open raises the token of every key of own's range to own's and returns own with the parts that were found, and the
// revision of its fence. An error leaves at most a segment without owner, which the next one takes over.
func (f fencer) open(ctx context.Context, own segment, whose trust) (segment, int64, error) {
	for try := range fenceTries {
		t := &takeover{fencer: f, own: own, trust: whose, made: map[string]bool{}}
		// Every second try first stops the owners that kept writing while the one before read up to where they were.
		ok, err := t.run(ctx, try%2 == 1)
		if err != nil || ok {
			return t.own, t.rev, err
		}
	}
	return own, 0, errBusy
}

// A takeover is one attempt to open.
type takeover struct {
	fencer
	own   segment
	rev   int64 // of own's fence, as stored
	trust trust
	found []found
	made  map[string]bool // ids of remainders
}

// run seals or takes everything that overlaps. It is false if it has to be tried again.
func (t *takeover) run(ctx context.Context, seal bool) (bool, error) {
	if err := t.claim(ctx); err != nil {
		return false, err
	}
	taken, err := t.rivals()
	if err != nil {
		t.unclaim(ctx)
		return false, err
	}
	seal = seal && slices.ContainsFunc(taken, t.unsealed)
	for first := true; first || len(taken) > 0; first = false {
		some := taken[:min(len(taken), absorbAtOnce)]
		act := t.take
		if seal {
			act = t.seal
		}
		if ok, err := act(ctx, some); err != nil || !ok {
			return false, err
		}
		taken = taken[len(some):]
	}
	return !seal, nil // sealed only: the next try takes
}

// claim makes sure that own is stored, whoever looks from now on, and then lists all segments. If own was stored
// before, by a try whose answer was lost, it goes on from what that had taken.
func (t *takeover) claim(ctx context.Context) error {
	value, err := t.own.encode()
	if err != nil {
		return err
	}
	key := t.keys.fence(t.own.ID)
	_, err = t.txn(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0)}, []clientv3.Op{clientv3.OpPut(key, value)}, nil)
	if err != nil {
		return err
	}
	if t.found, err = t.all.list(ctx, t.fencer); err != nil {
		return err
	}
	i := t.index(t.own.ID)
	if i < 0 {
		return errFenced // taken within the moment: a greater token is at work
	}
	s := t.found[i]
	t.rev, t.own.Parts, t.own.At = s.fenceRev, s.Parts, s.At
	t.own.Leased = t.own.Leased || s.Leased
	return nil
}

func (t *takeover) index(id string) int {
	return slices.IndexFunc(t.found, func(s found) bool { return s.ID == id })
}

// rivals gives what own has to take over, or an error if one of them is ahead of it.
func (t *takeover) rivals() ([]found, error) {
	var taken []found
	for _, s := range t.found {
		if s.ID == t.own.ID || !s.Range.Overlaps(t.own.Range) {
			continue
		}
		if s.Token > t.own.Token || s.Sealed > t.own.Token {
			return nil, ahead(s.segment, t.own.Token)
		}
		if t.trust.in(s.segment) && len(s.Parts) > 0 && s.Source != t.own.Source {
			return nil, otherSource("the destination's position is of etcd cluster %x, and the source is cluster %x", s.Source, t.own.Source)
		}
		taken = append(taken, s)
	}
	return taken, nil
}

// unclaim takes a refused segment back; nobody needs it, so trying is enough. One that has taken something over stays,
// for the sake of its positions.
func (t *takeover) unclaim(ctx context.Context) {
	if len(t.own.Parts) > 0 {
		return
	}
	key := t.keys.fence(t.own.ID)
	_, _ = t.txn(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", t.rev)}, []clientv3.Op{clientv3.OpDelete(key)}, nil)
}

// unsealed says that somebody may still write with this segment's fence.
func (t *takeover) unsealed(s found) bool { return !s.Vacant && s.Sealed < t.own.Token }

// seal stops the owners of the segments from writing.
func (t *takeover) seal(ctx context.Context, some []found) (bool, error) {
	var ops []clientv3.Op
	for i := range some {
		if !t.unsealed(some[i]) {
			continue
		}
		some[i].Sealed = t.own.Token
		value, err := some[i].encode()
		if err != nil {
			return false, err
		}
		ops = append(ops, clientv3.OpPut(t.keys.fence(some[i].ID), value))
	}
	r, err := t.txn(ctx, t.unchanged(some, false), ops, nil)
	return err == nil && r.Succeeded, err
}

// unchanged compares that segments are as they were read, positions included if asked.
func (f fencer) unchanged(some []found, positions bool) []clientv3.Cmp {
	var cmps []clientv3.Cmp
	for _, s := range some {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(f.keys.fence(s.ID)), "=", s.fenceRev))
		if positions {
			cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(f.keys.at(s.ID)), "=", s.atRev))
		}
	}
	return cmps
}

// take moves some segments into own, and stores own; false if anything has changed. A lost answer is an error: the
// caller opens again, and finds what was done.
func (t *takeover) take(ctx context.Context, some []found) (bool, error) {
	segs := make([]segment, len(some))
	for i, s := range some {
		segs[i] = s.segment
	}
	folded := t.own
	folded.Parts, folded.At = t.own.effective(), 0
	next, left := absorb(folded, segs, t.trust)
	next.Parts = bounded(next.Parts)
	ops, err := t.replacement(next, left, some)
	if err != nil {
		return false, err
	}
	cmps := append(t.unchanged(some, true), clientv3.Compare(clientv3.ModRevision(t.keys.fence(t.own.ID)), "=", t.rev))
	r, err := t.txn(ctx, cmps, ops, nil)
	if err != nil || !r.Succeeded {
		return false, err
	}
	t.own, t.rev = next, r.Header.Revision
	return true, nil
}

// replacement are the writes that put own and the remainders in the place of what was taken.
func (t *takeover) replacement(own segment, left []segment, taken []found) ([]clientv3.Op, error) {
	ops := []clientv3.Op{clientv3.OpDelete(t.keys.at(own.ID))}
	for i, s := range append([]segment{own}, left...) {
		if i > 0 {
			s.ID = t.freshID(s.ID)
		}
		value, err := s.encode()
		if err != nil {
			return nil, err
		}
		ops = append(ops, clientv3.OpPut(t.keys.fence(s.ID), value))
	}
	for _, s := range taken {
		ops = append(ops, clientv3.OpDelete(t.keys.fence(s.ID)), clientv3.OpDelete(t.keys.at(s.ID)))
	}
	return ops, nil
}

// freshID names what own leaves of a segment: the digits of its token and of own's, and a number.
func (t *takeover) freshID(of string) string {
	for n := 1; ; n++ {
		id := fmt.Sprintf("%s-%s-%d", of[:min(len(of), idBytes)], t.own.ID, n) // stays short however often it is cut
		if !t.made[id] && t.index(id) < 0 {
			t.made[id] = true
			return id
		}
	}
}

// idBytes is the length of the id of a segment that an owner has put: sixteen hexadecimal digits of its token.
const idBytes = 16

// segmentID names the segment of an owner. The token alone would not do: it is the revision of a claim, and one
// transaction claims many spans, so neighbours that a node opens together have one token.
func segmentID(token uint64, id string) string { return fmt.Sprintf("%0*x-%s", idBytes, token, id) }

// settle makes sure that no transaction that compares a former revision of the fence can land any more: whatever was
// unanswered has happened or never will. It returns the segment as stored, and the fence's new revision.
func (f fencer) settle(ctx context.Context, id string, token uint64) (segment, int64, error) {
	key := f.keys.fence(id)
	for range fenceTries {
		r, err := f.get(ctx, key)
		if err != nil {
			return segment{}, 0, err
		}
		if len(r.Kvs) == 0 {
			return segment{}, 0, errFenced
		}
		s, err := decodeSegment(id, r.Kvs[0].Value)
		if err != nil {
			return s, 0, broken(key, err)
		}
		if s.Token != token || s.Sealed > 0 {
			return s, 0, errFenced
		}
		t, err := f.txn(ctx, []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", r.Kvs[0].ModRevision)},
			[]clientv3.Op{clientv3.OpPut(key, string(r.Kvs[0].Value)), clientv3.OpGet(f.keys.at(id))}, nil)
		if err != nil {
			return s, 0, err
		}
		if !t.Succeeded {
			continue
		}
		s.At, err = decodeAt(f.keys.at(id), t.Responses[1].GetResponseRange().Kvs)
		return s, t.Header.Revision, err
	}
	return segment{}, 0, errBusy
}

// list reads all segments and gives the revision at which they were so.
func (f fencer) list(ctx context.Context) ([]found, int64, error) {
	r, err := f.get(ctx, f.keys.prefix, clientv3.WithPrefix())
	if err != nil {
		return nil, 0, err
	}
	all, err := f.keys.decodeAll(r.Kvs)
	return all, r.Header.Revision, err
}

func (f fencer) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := f.kv.Get(ctx, key, opts...)
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	return r, nil
}

// txn runs one transaction once. clientv3 repeats a transaction that writes only if it was never sent.
func (f fencer) txn(ctx context.Context, cmps []clientv3.Cmp, then, otherwise []clientv3.Op) (*clientv3.TxnResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	r, err := f.kv.Txn(ctx).If(cmps...).Then(then...).Else(otherwise...).Commit()
	if err != nil {
		return nil, fmt.Errorf("destination: %w", err)
	}
	return r, nil
}
