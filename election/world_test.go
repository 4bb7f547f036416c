package election_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/spanward/spanward/election"
	"github.com/spanward/spanward/internal/etcdtest"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/leases"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ttl    = 5 * time.Second
	key    = "/spanward/test/leader"
	writes = "/spanward/test/writes/"
)

// candidate is one maintainer, as far as the election is concerned.
type candidate struct {
	*election.Candidate
	name     string
	process  *etcdtest.Process
	session  *leases.Session
	draining atomic.Bool
}

// join starts a process with a session that is kept until ctx ends.
func join(ctx context.Context, t *testing.T, etcd *etcdtest.Bubble, name string) *candidate {
	t.Helper()
	c := &candidate{name: name, process: etcd.Process()}
	if err := c.restart(ctx, name+"-1"); err != nil {
		t.Fatal(err)
	}
	return c
}

// restart gives the candidate a new session and a new instance, as a supervisor would.
func (c *candidate) restart(ctx context.Context, instance string) error {
	s, err := leases.Grant(ctx, c.process.Client(), leases.Config{TTL: ttl, Clock: leases.Virtual()})
	if err != nil {
		return err
	}
	go func() { _ = s.Run(ctx) }()
	c.session = s
	c.Candidate, err = election.New(election.Config{
		Client: c.process.Client(), Key: key, Session: s, Draining: c.draining.Load, Logger: zap.NewNop(),
		Self: record.Leader{Maintainer: c.name, Instance: instance, Address: "127.0.0.1:1"},
	})
	return err
}

func (c *candidate) instance() string { return c.name + "-1" }

// campaign campaigns in the background.
func (c *candidate) campaign(t *testing.T) <-chan *election.Seat {
	won := make(chan *election.Seat, 1)
	go func() {
		seat, err := c.Campaign(t.Context())
		if err == nil {
			won <- seat
		}
	}()
	return won
}

// mustWin campaigns with nobody in the way, and keeps an eye on the seat.
func (c *candidate) mustWin(t *testing.T) *election.Seat {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ttl)
	defer cancel()
	seat, err := c.Campaign(ctx)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	go func() { _ = seat.Run(t.Context()) }()
	return seat
}

// write is what a leader does: it has an effect only in its term. An error means that nobody knows.
func (c *candidate) write(ctx context.Context, seat *election.Seat, n int) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r, err := c.process.Client().Txn(ctx).If(seat.Fence()).
		Then(clientv3.OpPut(writes+c.name+strconv.Itoa(n%3), strconv.FormatInt(seat.Term(), 10))).Commit()
	if err != nil {
		return false, err
	}
	return r.Succeeded, nil
}

// mustHistory reads all of etcd's history and returns the terms there were, in order. At each revision a write must carry
// the term that the leader key had.
func mustHistory(t *testing.T, c *clientv3.Client) []int64 {
	t.Helper()
	terms, err := history(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return terms
}

func history(ctx context.Context, c *clientv3.Client) ([]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	last, err := c.Put(ctx, "/spanward/test/end", "")
	if err != nil {
		return nil, err
	}
	var terms []int64
	var term, lastWritten int64
	for r := range c.Watch(ctx, "/spanward/test/", clientv3.WithPrefix(), clientv3.WithRev(1)) {
		for _, e := range r.Events {
			switch k := string(e.Kv.Key); {
			case k == key && e.Type == clientv3.EventTypeDelete:
				term = 0
			case k == key:
				term = e.Kv.ModRevision
				if l, err := record.DecodeLeader(e.Kv.Value); err == nil && !l.Resigned {
					terms = append(terms, term)
				}
			case strings.HasPrefix(k, writes):
				written, _ := strconv.ParseInt(string(e.Kv.Value), 10, 64)
				if written != term || written < lastWritten {
					return nil, fmt.Errorf("revision %d: a write of term %d in term %d, after one of term %d", e.Kv.ModRevision, written, term, lastWritten)
				}
				lastWritten = written
			case e.Kv.ModRevision == last.Header.Revision:
				return terms, nil
			}
		}
		if r.Err() != nil {
			return nil, r.Err()
		}
	}
	return nil, errors.New("the history has no end")
}

var nopLog = zap.NewNop()
