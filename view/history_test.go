package view_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/view"
)

func ended(id string, at int64, change ...func(*record.History)) view.Change {
	h := record.History{
		Intent:  record.Intent{Operator: id, Kind: record.KindMove, By: record.ByUser, RequestID: "request of " + id},
		Outcome: record.OutcomeDone, FinishedAt: time.Unix(at, 0),
	}
	for _, c := range change {
		c(&h)
	}
	return view.Change{Key: layout.History("a", id), Value: record.EncodeHistory(h), Create: 5, Mod: 5}
}

// Every request that a record stands for is found, also one that only ended an operator, and forgotten with the record.
func TestRequestsAreFoundWhereverTheyStand(t *testing.T) {
	by := func(id, operator string) func(*record.History) {
		return func(h *record.History) {
			h.Cause = &record.Cause{By: record.ByUser, RequestID: id, Body: []byte("body of " + id), Operator: operator}
		}
	}
	request := []record.Request{{ID: "drain", Body: []byte("body of drain")}}
	records := []view.Change{
		ended("1-1", 1, by("cancel", "")),
		ended("1-2", 2, by("remove", "1-9")),
		{Key: layout.NodeConfig("n1"), Value: record.EncodeNodeConfig(record.NodeConfig{Requests: request}), Create: 5, Mod: 5},
	}
	s := view.NewState(layout)
	s.Apply(5, records)
	for id, operator := range map[string]string{
		"cancel": "1-1", "remove": "1-9", "drain": "", "request of 1-1": "1-1", "request of 1-2": "1-2",
	} {
		r := s.Request(id)
		if r == nil || r.Operator != operator {
			t.Errorf("%s: %+v, want operator %q", id, r, operator)
		} else if !strings.HasPrefix(id, "request") && string(r.Body) != "body of "+id {
			t.Errorf("%s has body %q", id, r.Body)
		}
	}
	var gone []view.Change
	for _, c := range records {
		gone = append(gone, view.Change{Key: c.Key, Deleted: true})
	}
	s.Apply(6, gone)
	for _, id := range []string{"cancel", "remove", "drain", "request of 1-1"} {
		if r := s.Request(id); r != nil {
			t.Errorf("%s is remembered by nothing: %+v", id, r)
		}
	}
}

// The order is that of the ends, from both sides, and a clock that is behind does not make an operator older than its
// acceptance.
func TestHistoryInOrder(t *testing.T) {
	s := view.NewState(layout)
	late := func(h *record.History) { h.Intent.CreatedAt = time.Unix(25, 0) }
	s.Apply(5, []view.Change{ended("1-3", 30), ended("1-1", 10), ended("1-4", 1, late), ended("1-2", 20)})
	var up, down []string
	for h := range s.Histories("a") {
		up = append(up, h.Intent.Operator)
	}
	for h := range s.HistoriesBack("a") {
		down = append(down, h.Intent.Operator)
	}
	slices.Reverse(down)
	if want := []string{"1-1", "1-2", "1-4", "1-3"}; fmt.Sprint(up) != fmt.Sprint(want) || fmt.Sprint(down) != fmt.Sprint(want) {
		t.Errorf("%v, and backwards %v", up, down)
	}
}
