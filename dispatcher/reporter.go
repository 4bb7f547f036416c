package dispatcher

import "sync"

// news collects what instances report until the loop takes it: one entry for each run, the newest value of each kind.
type news struct {
	// wake is filled while there is something to take.
	wake chan struct{}

	mu  sync.Mutex
	all map[*run]item
}

type item struct {
	status *Status
	failed string
}

func newNews() *news { return &news{wake: make(chan struct{}, 1), all: map[*run]item{}} }

// take empties the collection.
func (n *news) take() map[*run]item {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.all
	n.all = map[*run]item{}
	return all
}

func (n *news) put(r *run, change func(*item)) {
	n.mu.Lock()
	it := n.all[r]
	change(&it)
	n.all[r] = it
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// reporter is the Reporter of one run.
type reporter struct {
	news *news
	run  *run
}

func (r reporter) Report(s Status) {
	r.run.lagMS.Store(s.LagMS)
	r.news.put(r.run, func(it *item) {
		if it.status != nil {
			s.Checkpoint = s.Checkpoint.Max(it.status.Checkpoint) // what was durable stays so
		}
		it.status = &s
	})
}

func (r reporter) Fail(err error) {
	text := "the instance failed without saying why"
	if err != nil {
		text = err.Error()
	}
	r.news.put(r.run, func(it *item) { it.failed = text })
}
