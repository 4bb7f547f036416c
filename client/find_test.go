package client

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spanward/spanward/internal/record"
)

func TestOrderOfAddresses(t *testing.T) {
	all := []record.Maintainer{{Name: "m1", Address: "a1"}, {Name: "m2", Address: "a2", Draining: true}, {Name: "m3", Address: "a3"}}
	for _, tc := range []struct {
		name   string
		leader record.Leader
		want   []string
	}{
		{"nobody leads", record.Leader{}, []string{"a1", "a3", "a2"}},
		{"the leader first", record.Leader{Maintainer: "m3", Address: "a3"}, []string{"a3", "a1", "a2"}},
		{"not registered", record.Leader{Maintainer: "m9", Address: "a9"}, []string{"a9", "a1", "a3", "a2"}},
		{
			"resigned: its successor first",
			record.Leader{Maintainer: "m1", Address: "a1", Resigned: true, Successor: "m3"},
			[]string{"a3", "a1", "a2"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, order(tc.leader, all)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
