package mirror

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

func (p *pair) diff(spans ...span.Range) (Report, error) {
	return Diff(p.t.Context(), DiffOptions{Source: p.s, Dest: p.d, Cluster: "default", Keyspace: "ks", Settings: p.set, Spans: spans})
}

func TestDiffCountsAndNames(t *testing.T) {
	p := newPair(t, "source-prefix", "s/", "dest-prefix", "d/")
	for i := range 3000 { // several pages
		p.put(fmt.Sprintf("s/%05d", i), "v")
	}
	in, r := p.start(all, unknown)
	p.caughtUp(r)
	closed(t, in)
	got, err := p.diff(span.Range{End: "s/01500"}, span.Range{Start: "s/01500"})
	if d := cmp.Diff(Report{Equal: true, Compared: 3000, Examples: []Example{}}, got); err != nil || d != "" {
		t.Fatalf("%v\n%s", err, d)
	}
	put(t, p.d, "d/00007", "other")
	put(t, p.d, "d/x:", "extra")
	put(t, p.d, "unrelated", "1")
	del(t, p.d, "d/02000")
	got, err = p.diff(all)
	want := Report{Compared: 3000, Missing: 1, Extra: 1, Different: 1, Examples: []Example{
		{Kind: "different", Key: "s/00007", DestKey: "d/00007", Span: "s/:s0"},
		{Kind: "missing", Key: "s/02000", DestKey: "d/02000", Span: "s/:s0"},
		{Kind: "extra", Key: `s/x\x3a`, DestKey: `d/x\x3a`, Span: "s/:s0"},
	}}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Example{}, "SourceRev", "DestRev", "ComparedAt")); err != nil || d != "" {
		t.Fatalf("%v\n%s", err, d)
	}
}

// While the source changes all the time, there is nothing that a correct mirror could be accused of.
func TestDiffNeedsNoPause(t *testing.T) {
	p := newPair(t)
	_, low := p.start(span.Range{End: "k05"}, unknown)
	_, high := p.start(span.Range{Start: "k05"}, unknown)
	p.caughtUp(low)
	p.caughtUp(high)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, _ = p.s.Txn(t.Context()).Then(clientv3.OpPut(fmt.Sprintf("k%02d", i%10), fmt.Sprint(i)), clientv3.OpDelete(fmt.Sprintf("k%02d", (i+3)%10))).Commit()
		}
	})
	for range 30 {
		if got, err := p.diff(all); err != nil || !got.Equal {
			t.Errorf("%+v, %v", got, err)
			break
		}
	}
	close(stop)
	writer.Wait()
}

func TestDiffOfAQuietSpanWhoseSourceWasCompacted(t *testing.T) {
	p := newPair(t)
	p.put("a", "1")
	_, r := p.start(span.Range{End: "m"}, unknown)
	p.caughtUp(r)
	for i := range 20 {
		p.put("z", fmt.Sprint(i))
	}
	if _, err := p.s.Compact(t.Context(), p.head()); err != nil {
		t.Fatal(err)
	}
	if got, err := p.diff(span.Range{End: "m"}); err != nil || !got.Equal || got.Compared != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDiffOfWhatWasNeverCopied(t *testing.T) {
	p := newPair(t)
	if _, err := p.diff(all); !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v", err)
	}
}
