package maintainer

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	controlv1 "github.com/spanward/spanward/api/control/v1"
	sessionv1 "github.com/spanward/spanward/api/session/v1"
	"github.com/spanward/spanward/internal/fault"
)

// Nobody gets a keyspace beyond its limit, by adding, splitting or creating; what is in flight counts as done, and the last
// span is had by one of many who ask for it.
func TestNoKeyspaceExceedsItsLimit(t *testing.T) {
	inWorld(t, func(w *world) {
		_, refs := w.settled(4, "n1")
		w.mustSet("m1", "ks", "max-spans=7")
		split := func(n, keys int) *controlv1.SplitSpanRequest {
			q := &controlv1.SplitSpanRequest{Keyspace: "ks", Span: string(refs[n].ID)}
			for k := range keys {
				q.At = append(q.At, fmt.Appendf(nil, "%06d-%d", n, k))
			}
			return q
		}
		refused := func(q proto.Message, would string) {
			t.Helper()
			_, err := w.invoke("m1", q)
			f, _ := fault.As(err)
			if !fault.Is(err, fault.Refused) || f.Field != "keyspace" || !strings.Contains(f.Message, would) || !strings.Contains(f.Remedy, "max-spans=") {
				t.Errorf("%v: %v, want …%s…", q, err, would)
			}
		}
		refused(split(0, 4), "would have 8 spans, and max-spans is 7")
		w.nodes[0].answers(func(*sessionv1.Ask) sessionv1.StageResult_Result { return sessionv1.StageResult_RESULT_UNSPECIFIED })
		if _, err := w.invoke("m1", split(0, 2)); err != nil { // it stays in flight
			t.Fatal(err)
		}
		refused(split(1, 2), "would have 8 spans")
		var wg sync.WaitGroup
		var mu sync.Mutex
		accepted := 0
		for n := 1; n < 4; n++ {
			wg.Go(func() {
				_, err := w.invoke("m1", split(n, 1))
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					accepted++
				} else if !fault.Is(err, fault.Refused) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if accepted != 1 {
			t.Errorf("%d of three got the last span", accepted)
		}
		refused(&controlv1.AddSpanRequest{Keyspace: "ks", Range: keyRange("x", "y")}, "would have 8 spans")
		w.nodes[0].obey()
		w.owned("ks", 7, time.Minute)
		refused(&controlv1.AddSpanRequest{Keyspace: "ks", Range: keyRange("x", "y")}, "would have 8 spans")
		w.mustSet("m1", "ks", "max-spans=8")
		if _, err := w.invoke("m1", &controlv1.AddSpanRequest{Keyspace: "ks", Range: keyRange("x", "y")}); err != nil {
			t.Error(err)
		}

		w.mustSet("m1", "", "max-spans=2")
		three := []*controlv1.Range{keyRange("a", "b"), keyRange("b", "c"), keyRange("c", "d")}
		refused(&controlv1.CreateKeyspaceRequest{Name: "new", Workload: "gate", Ranges: three}, "would have 3 spans, and max-spans is 2")
		if _, err := w.invoke("m1", &controlv1.CreateKeyspaceRequest{
			Name: "new", Workload: "gate", Ranges: three, Set: map[string]string{"max-spans": "3"},
		}); err != nil {
			t.Error(err)
		}
	})
}
