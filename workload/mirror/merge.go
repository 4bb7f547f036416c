package mirror

import (
	"iter"
)

// An item is a key with its value in a sorted listing; the key is spelled as at the destination.
type item struct {
	key   string
	value []byte
	lease int64
	// source is the key at the source, rev the revision that wrote it there; both empty in a destination's listing.
	source string
	rev    int64
}

// A difference is a key at which two listings disagree. Either side may be absent.
type difference struct {
	want, have *item
}

// compare walks two sorted listings side by side and calls found for every key at which they disagree, until it returns
// an error. It holds one item of each side. Leases count only if asked.
func compare(want, have iter.Seq2[item, error], leases bool, seen func(item), found func(difference) error) error {
	nextWant, stopWant := iter.Pull2(want)
	defer stopWant()
	nextHave, stopHave := iter.Pull2(have)
	defer stopHave()
	w, werr, wok := nextWant()
	h, herr, hok := nextHave()
	for wok || hok {
		if werr != nil {
			return werr
		}
		if herr != nil {
			return herr
		}
		d, advanceWant, advanceHave := step(w, wok, h, hok, leases)
		if d.want != nil || d.have != nil {
			if err := found(d); err != nil {
				return err
			}
		}
		if advanceWant {
			seen(w)
			w, werr, wok = nextWant()
		}
		if advanceHave {
			h, herr, hok = nextHave()
		}
	}
	return nil
}

// step compares the heads of two listings: what disagrees, and which side goes on.
func step(w item, wok bool, h item, hok, leases bool) (d difference, want, have bool) {
	switch {
	case !hok || wok && w.key < h.key:
		return difference{want: &w}, true, false
	case !wok || h.key < w.key:
		return difference{have: &h}, false, true
	case string(w.value) != string(h.value) || leases && w.lease != h.lease:
		return difference{want: &w, have: &h}, true, true
	}
	return difference{}, true, true
}
