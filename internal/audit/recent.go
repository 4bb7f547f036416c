package audit

// maxRemembered bounds how many ids that are no longer in etcd are remembered.
const maxRemembered = 1 << 18

// recent is a set that forgets its oldest members.
type recent[K comparable] struct {
	set  map[K]struct{}
	ring []K
	next int
}

func (r *recent[K]) has(k K) bool {
	_, ok := r.set[k]
	return ok
}

func (r *recent[K]) add(k K) {
	if r.has(k) {
		return
	}
	if r.set == nil {
		r.set = map[K]struct{}{}
	}
	r.set[k] = struct{}{}
	if len(r.ring) < maxRemembered {
		r.ring = append(r.ring, k)
		return
	}
	delete(r.set, r.ring[r.next])
	r.ring[r.next] = k
	r.next = (r.next + 1) % maxRemembered
}
