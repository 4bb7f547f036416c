package etcdx_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/txn"
)

// claim creates a key, and recognises itself by the value.
func claim(key, by string) txn.Part {
	return txn.Part{
		If:   []txn.Cmp{txn.Absent(key)},
		Then: []txn.Op{txn.Put(key, []byte(by))},
		Mine: func(f txn.Found) bool { return string(f[key].Value) == by },
	}
}

func outcomes(list []txn.Result) string {
	var b strings.Builder
	for _, r := range list {
		b.WriteString([]string{"refused", "done", "fenced"}[r.Outcome])
		if r.Earlier {
			b.WriteString(" earlier")
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

func inBubble(t *testing.T, f func(t *testing.T, p *etcdtest.Process)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, etcdtest.StartBubble(t).Process()) })
}

func TestOneRefusedPartDoesNotRefuseTheOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, p *etcdtest.Process) {
		c := p.Client()
		_, err := c.Put(t.Context(), "b", "theirs")
		must(t, err)
		got, err := etcdx.Run(t.Context(), c, 0, txn.Batch{Parts: []txn.Part{claim("a", "me"), claim("b", "me"), claim("c", "me")}})
		must(t, err)
		if s := outcomes(got); s != "done; refused; done" {
			t.Fatal(s)
		}
		if holder := got[1].Found["b"].Value; string(holder) != "theirs" {
			t.Errorf("the refusal does not say who holds it: %q", holder)
		}
	})
}

func TestALostAnswerIsRecognised(t *testing.T) {
	inBubble(t, func(t *testing.T, p *etcdtest.Process) {
		c := p.Client()
		_, err := c.Put(t.Context(), "b", "theirs")
		must(t, err)
		p.LoseTxn(1)
		b := txn.Batch{Parts: []txn.Part{claim("a", "me"), claim("b", "me")}}
		got, err := etcdx.Settle(t.Context(), c, 0, b, etcdx.Options{})
		must(t, err)
		if s := outcomes(got); s != "done earlier; refused" {
			t.Fatal(s)
		}
		kv, err := c.Get(t.Context(), "a")
		must(t, err)
		if kv.Kvs[0].Version != 1 {
			t.Errorf("written %d times", kv.Kvs[0].Version)
		}
	})
}

// The term is over when the answer is looked for: what the lost sending did counts, what it did not do is fenced.
func TestALostAnswerBeforeTheTermEnded(t *testing.T) {
	for _, carriedOut := range []bool{true, false} {
		inBubble(t, func(t *testing.T, p *etcdtest.Process) {
			c := p.Client()
			r, err := c.Put(t.Context(), "leader", "me")
			must(t, err)
			p.Inject(func(call etcdtest.Call) etcdtest.Fault {
				if call.Method != "Txn" || call.N != 1 {
					return etcdtest.Fault{}
				}
				if carriedOut {
					return etcdtest.Fault{Lose: true, Late: time.Second}
				}
				return etcdtest.Fault{Err: rpctypes.ErrGRPCTimeout, Delay: time.Second}
			})
			time.AfterFunc(500*time.Millisecond, func() { _, _ = c.Put(context.Background(), "leader", "you") })
			b := txn.Batch{
				Outer: []txn.Cmp{txn.At("leader", r.Header.Revision)},
				Parts: []txn.Part{claim("a", "me")},
			}
			got, err := etcdx.Settle(t.Context(), c, 0, b, etcdx.Options{})
			must(t, err)
			if s, want := outcomes(got), map[bool]string{true: "done earlier", false: "fenced"}[carriedOut]; s != want {
				t.Errorf("%s, want %s", s, want)
			}
		})
	}
}

// Without a trace that a part knows as its own, "refused" is all that can be said; the caller must know that.
func TestAPartThatCannotRecogniseItself(t *testing.T) {
	inBubble(t, func(t *testing.T, p *etcdtest.Process) {
		part := claim("a", "me")
		part.Mine = nil
		p.LoseTxn(1)
		got, err := etcdx.Settle(t.Context(), p.Client(), 0, txn.Batch{Parts: []txn.Part{part}}, etcdx.Options{})
		must(t, err)
		if s := outcomes(got); s != "refused" {
			t.Fatal(s)
		}
	})
}

func TestSettleEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		etcd := etcdtest.StartBubble(t)
		p := etcd.Process()
		etcd.Down()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		b := txn.Batch{Parts: []txn.Part{claim("a", "me")}}
		start := time.Now()
		_, err := etcdx.Settle(ctx, p.Client(), 0, b, etcdx.Options{})
		if !errors.Is(err, etcdx.ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		if took := time.Since(start); took > time.Minute+3*time.Second {
			t.Errorf("took %v", took)
		}
		etcd.Up()
		got, err := etcdx.Settle(t.Context(), p.Client(), 0, b, etcdx.Options{Resent: true})
		must(t, err)
		if s := outcomes(got); s != "done" && s != "done earlier" {
			t.Error(s)
		}
	})
}

func TestWhatWasSentBeforeIsRecognised(t *testing.T) {
	inBubble(t, func(t *testing.T, p *etcdtest.Process) {
		b := txn.Batch{Parts: []txn.Part{claim("a", "me")}}
		_, err := etcdx.Run(t.Context(), p.Client(), 0, b)
		must(t, err)
		for resent, want := range map[bool]string{false: "refused", true: "done earlier"} {
			got, err := etcdx.Settle(t.Context(), p.Client(), 0, b, etcdx.Options{Resent: resent})
			must(t, err)
			if s := outcomes(got); s != want {
				t.Errorf("resent %v: %s", resent, s)
			}
		}
	})
}

func TestPermanentErrorsEndSettling(t *testing.T) {
	many := txn.Batch{}
	for i := range 129 {
		many.Parts = append(many.Parts, claim(fmt.Sprint(i), "me"))
	}
	large := claim("a", strings.Repeat("x", 1<<21-1<<10))
	twice := txn.Batch{Parts: []txn.Part{claim("a", "me"), claim("a", "you")}}
	leased := claim("a", "me")
	leased.Then[0].Leased = true
	inBubble(t, func(t *testing.T, p *etcdtest.Process) {
		for name, b := range map[string]txn.Batch{
			"too many": many, "too large": {Parts: []txn.Part{large}}, "twice": twice, "lease": {Parts: []txn.Part{leased}},
		} {
			start := time.Now()
			_, err := etcdx.Settle(t.Context(), p.Client(), 12345, b, etcdx.Options{})
			if err == nil || errors.Is(err, etcdx.ErrUnknown) || time.Since(start) > time.Second {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		}
	})
}

// A definite no after a lost answer says nothing about the lost sending.
func TestPermanentErrorAfterALostAnswerIsUnknown(t *testing.T) {
	inBubble(t, func(t *testing.T, p *etcdtest.Process) {
		c := p.Client()
		l, err := c.Grant(t.Context(), 60)
		must(t, err)
		part := claim("a", "me")
		part.Then = append(part.Then, txn.PutLeased("b", []byte("me")))
		part.If = nil // as if the compare still held
		p.Inject(func(call etcdtest.Call) etcdtest.Fault {
			return etcdtest.Fault{Lose: call.Method == "Txn" && call.N == 1, Late: time.Second}
		})
		time.AfterFunc(1500*time.Millisecond, func() { _, _ = c.Revoke(context.Background(), l.ID) })
		_, err = etcdx.Settle(t.Context(), c, l.ID, txn.Batch{Parts: []txn.Part{part}},
			etcdx.Options{Backoff: 3 * time.Second, TryTimeout: 5 * time.Second})
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) || !errors.Is(err, etcdx.ErrUnknown) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestNoSpaceIsUnknown(t *testing.T) {
	if !errors.Is(etcdx.Classified(rpctypes.ErrNoSpace), etcdx.ErrUnknown) {
		t.Error("the request that fills the quota is carried out, and answered with an error")
	}
	if errors.Is(etcdx.Classified(rpctypes.ErrPermissionDenied), etcdx.ErrUnknown) {
		t.Error("a refused permission is a definite no")
	}
}

// Whatever the parts look like, etcd takes the batches, and nothing is lost or swapped.
func TestChunksFitEtcd(t *testing.T) {
	inBubble(t, func(t *testing.T, p *etcdtest.Process) {
		run := 0
		rapid.Check(struct{ rapid.TB }{t}, func(t *rapid.T) {
			run++
			var parts []txn.Part
			for i := range rapid.IntRange(1, 150).Draw(t, "parts") {
				parts = append(parts, drawWidePart(t, fmt.Sprintf("%d/%d", run, i)))
			}
			var outer []txn.Cmp
			for i := range rapid.IntRange(0, 3).Draw(t, "outer") {
				outer = append(outer, txn.Absent(fmt.Sprint("outer", i)))
			}
			var all []txn.Part
			for _, b := range etcdx.Chunk(outer, parts) {
				got, err := etcdx.Run(context.Background(), p.Client(), 0, b)
				must(t, err)
				if len(b.Parts) > etcdx.MaxParts || len(got) != len(b.Parts) {
					t.Fatalf("%d parts, %d results", len(b.Parts), len(got))
				}
				all = append(all, b.Parts...)
			}
			if len(all) != len(parts) {
				t.Fatalf("%d parts of %d", len(all), len(parts))
			}
			for i := range all {
				if all[i].Then[0].Key != parts[i].Then[0].Key {
					t.Fatalf("part %d is another", i)
				}
			}
		})
	})
}

func drawWidePart(t *rapid.T, key string) txn.Part {
	width := rapid.OneOf(rapid.IntRange(1, 5), rapid.IntRange(1, 60)).Draw(t, "width")
	if rapid.IntRange(0, 9).Draw(t, "shared") == 0 {
		key = "shared"
	}
	p := txn.Part{}
	for i := range width {
		k := fmt.Sprintf("%s/%d", key, i)
		p.Then = append(p.Then, txn.Put(k, make([]byte, rapid.SampledFrom([]int{1, 1, 1, 200, 20000}).Draw(t, "bytes"))))
		p.If = append(p.If, txn.At(k+"/never", 0))
	}
	return p
}

func TestChunkKeepsToTheMeasuredRules(t *testing.T) {
	narrow := func(n, width int) []txn.Part {
		parts := make([]txn.Part, n)
		for i := range parts {
			for k := range width {
				parts[i].Then = append(parts[i].Then, txn.Delete(fmt.Sprintf("%d/%d", i, k)))
			}
		}
		return parts
	}
	for _, c := range []struct{ n, width, batches int }{
		{100, 28, 1}, {100, 29, 2}, {101, 1, 2}, {1, 127, 1}, {2, 126, 1}, {2, 127, 2}, {0, 1, 0},
	} {
		if got := len(etcdx.Chunk(nil, narrow(c.n, c.width))); got != c.batches {
			t.Errorf("%d parts of %d operations: %d batches, want %d", c.n, c.width, got, c.batches)
		}
	}
}
