package maintainer

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	"github.com/spanward/spanward/view"
)

// watchEvery is the shortest time between two looks of a watch. What happens in between is told together: an operator
// that has gone through several stages shows the last one, with all its steps.
const watchEvery = 50 * time.Millisecond

// watchOperators tells operators in flight, then every change, until the caller goes or the term ends. With an id it ends
// once that operator is over. What it keeps is bounded by what is in flight: a caller that is slow is told less often.
func (c *control) watchOperators(ctx context.Context, _ *term, q *controlv1.WatchOperatorsRequest, send func(*controlv1.WatchOperatorsResponse) error) error {
	changes := c.view.Subscribe()
	defer changes.Close()
	w := watching{id: q.GetId(), told: map[flightKey]flight{}}
	var d *view.Dirty // nil for the first look
	for {
		var news []*controlv1.Operator
		var err error
		c.view.Read(func(s *view.State) { news, err = w.look(s, d, time.Now()) })
		if err != nil {
			return err
		}
		for _, o := range news {
			if err := send(&controlv1.WatchOperatorsResponse{Operator: o}); err != nil {
				return err
			}
		}
		if w.over {
			return nil
		}
		if !pause(ctx, watchEvery) {
			return ctx.Err()
		}
		select {
		case d = <-changes.C():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// watching is what a watcher has been told.
type watching struct {
	id   string
	told map[flightKey]flight
	// seen is the revision up to which finished operators were told.
	seen int64
	// over: the one operator that was asked for is.
	over bool
}

// look finds what has changed since the last look.
func (w *watching) look(s *view.State, d *view.Dirty, now time.Time) ([]*controlv1.Operator, error) {
	if w.id != "" {
		return w.lookAtOne(s)
	}
	var news []*controlv1.Operator
	flying := map[flightKey]flight{}
	for _, f := range inFlight(s) {
		flying[f.key()] = f
		if was, ok := w.told[f.key()]; !ok || !proto.Equal(was.Operator, f.Operator) {
			news = append(news, f.Operator)
		}
	}
	switch {
	case d == nil:
		w.seen = s.Revision()
	case d.Reset || len(d.History) > 0:
		news = append(w.finished(s), news...)
	}
	news = append(news, w.placed(s, flying, now)...)
	w.told = flying
	return news, nil
}

// finished are the operators that have ended since the last time, those included that were never seen in flight. All
// keyspaces are gone through: the state may be ahead of what was said to be dirty.
func (w *watching) finished(s *view.State) []*controlv1.Operator {
	var out []*controlv1.Operator
	for _, name := range s.Names() {
		for h := range s.Histories(name) {
			if h.Mod > w.seen {
				out = append(out, renderFinished(h))
			}
		}
	}
	w.seen = s.Revision()
	return out
}

// placed are the placements that are over; they leave no history.
func (w *watching) placed(s *view.State, flying map[flightKey]flight, now time.Time) []*controlv1.Operator {
	var out []*controlv1.Operator
	for key, was := range w.told {
		if _, still := flying[key]; !still && key.id == "" {
			out = append(out, renderPlaced(was.Operator, was.claim, s.Span(was.ref), now))
		}
	}
	return out
}

func (w *watching) lookAtOne(s *view.State) ([]*controlv1.Operator, error) {
	o := operatorByID(s, w.id)
	if o == nil {
		return nil, unknownOperator(w.id)
	}
	w.over = o.GetOutcome() != ""
	key := flightKey{id: w.id}
	if was, ok := w.told[key]; ok && proto.Equal(was.Operator, o) {
		return nil, nil
	}
	w.told[key] = flight{Operator: o}
	return []*controlv1.Operator{o}, nil
}
