package maintainer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"github.com/spanward/spanward/internal/etcdx"
	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/internal/txn"
	"github.com/spanward/spanward/span"
	"github.com/spanward/spanward/view"
)

// Validator checks the settings of a workload, and that they make sense for ranges.
type Validator func(settings map[string]string, ranges []span.Range) error

const (
	// acceptTimeout bounds a change, if its caller does not. After that its outcome is unknown.
	acceptTimeout = 30 * time.Second
	// maxPlans is how often a change is planned anew because a record moved between the plan and the write.
	maxPlans = 3
	// partsPerWrite bounds what is written between two failpoints, and between two looks at whether anybody still waits.
	partsPerWrite = 2000
	// maxRequestID bounds a request id, in bytes.
	maxRequestID = 128
)

// change is a request that changes something.
type change interface {
	request
	GetRequestId() string
}

// asker is who asks for a change: a request id, and a digest of all else that was asked.
type asker struct {
	id   string
	body []byte
	// why is the reason that people are shown, "" for that somebody asked.
	why string
}

// plan is what a change writes, given what the view shows. Its preconditions are those of that view and never refreshed:
// if one fails there is a new plan.
type plan struct {
	// operator is the one that the change is, or was when it was asked for before.
	operator string
	// check is what still stands between the plan and the write, and takes too long to be done while the view stands
	// still; nil is nothing.
	check func() error
	// parts is empty if there is nothing to write any more.
	parts []txn.Part
	// revoke is what somebody else has to end before there is another plan; nil is nothing.
	revoke *revocation
	// more: the plan is a step, after which there is another plan.
	more bool
}

// accept carries a change out, once for each request id. decide makes plans; prior is the trace that an earlier try has
// left in etcd, nil if there is none. kind is the one of the failpoints, lock what changes exclude each other, beside
// those of one request id.
func (c *control) accept(
	ctx context.Context, t *term, kind, lock string, q change,
	decide func(s *view.State, who asker, prior *view.Request) (plan, error),
) (operator string, err error) {
	return c.acceptAs(ctx, t, kind, lock, asker{id: q.GetRequestId(), body: digest(q)}, decide)
}

// acceptAs is accept for whoever asks.
func (c *control) acceptAs(
	ctx context.Context, t *term, kind, lock string, who asker,
	decide func(s *view.State, who asker, prior *view.Request) (plan, error),
) (operator string, err error) {
	if err := checkRequestID(who.id); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	release, err := c.locks.take(ctx, "request "+who.id, lock)
	if err != nil {
		return "", err
	}
	defer release()
	for tries := 0; tries < maxPlans; {
		p, err := c.plan(who, decide)
		switch {
		case err != nil:
			return p.operator, err
		case p.revoke != nil:
			if err := c.revoke(ctx, t, p.revoke); err != nil {
				return "", err
			}
			continue
		case len(p.parts) == 0:
			return p.operator, nil
		}
		done, err := c.write(ctx, t, kind, p.parts)
		if err != nil || done && !p.more {
			return p.operator, err
		}
		if !done {
			tries++
		}
	}
	return "", fault.New(fault.Unavailable, "what it concerns changed %d times while it was being accepted; nothing was done", maxPlans).Fix(repeat)
}

func (c *control) plan(who asker, decide func(*view.State, asker, *view.Request) (plan, error)) (p plan, err error) {
	c.view.Read(func(s *view.State) {
		prior := s.Request(who.id)
		if err = who.checkSame(prior); err == nil {
			p, err = decide(s, who, prior)
		}
	})
	if err == nil && p.check != nil {
		err = p.check()
	}
	return p, err
}

// checkSame refuses a request id that was used for something else.
func (who asker) checkSame(prior *view.Request) error {
	if prior == nil || slices.Equal(prior.Body, who.body) {
		return nil
	}
	return fault.New(fault.RequestConflict, "was used before for another change%s", by(prior.Operator)).
		On("request-id", who.id).Fix("repeat that command unchanged, or use another id")
}

func by(operator string) string {
	if operator == "" {
		return ""
	}
	return ", operator " + operator
}

// once is a decide for changes of one step: what was done is not done again.
func once(decide func(s *view.State, who asker) (plan, error)) func(*view.State, asker, *view.Request) (plan, error) {
	return func(s *view.State, who asker, prior *view.Request) (plan, error) {
		if prior != nil {
			return plan{operator: prior.Operator}, nil
		}
		return decide(s, who)
	}
}

// write sends a plan under the term, and waits until the own view shows what came of it. It reports false if a record
// had moved.
func (c *control) write(ctx context.Context, t *term, kind string, parts []txn.Part) (bool, error) {
	for some := range slices.Chunk(parts, partsPerWrite) {
		results, err := c.writeSome(ctx, t, kind, some)
		if err != nil {
			return false, err
		}
		done, revision := true, int64(0)
		for _, r := range results {
			if r.Outcome == txn.Fenced {
				return false, fault.New(fault.NotLeader, "the leader was replaced before the change was accepted").Fix(repeat)
			}
			done = done && r.Outcome == txn.Done
			revision = max(revision, r.Revision)
		}
		if err := c.await(ctx, revision); err != nil || !done {
			return false, err
		}
	}
	return true, nil
}

func (c *control) writeSome(ctx context.Context, t *term, kind string, parts []txn.Part) ([]txn.Result, error) {
	point := "maintainer/" + kind + "/accept"
	if err := c.hit(ctx, point+"/before"); err != nil {
		return nil, err
	}
	results, err := t.write(ctx, parts)
	if err != nil {
		return nil, unsettled(err)
	}
	return results, c.hit(ctx, point+"/after")
}

// unsettled explains why it is not known whether a change was accepted, or that etcd will not have it.
func unsettled(err error) error {
	if !errors.Is(err, etcdx.ErrUnknown) && !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return fault.New(fault.Refused, "etcd refuses the change: %v", err).Fix("nothing was done; see the log of etcd").Because(err)
	}
	reason := fault.Unavailable
	if errors.Is(err, context.DeadlineExceeded) {
		reason = fault.Timeout
	}
	return fault.New(reason, "etcd has not answered, so the change may have been accepted").Fix(repeat).Because(err)
}

// digest is what a request asks for, whatever its id.
func digest(q change) []byte {
	m := proto.Clone(q)
	r := m.ProtoReflect()
	r.Clear(r.Descriptor().Fields().ByName("request_id"))
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("maintainer: a request that was received does not marshal: %v", err))
	}
	sum := sha256.Sum256(append([]byte(r.Descriptor().FullName()+"\n"), b...))
	return sum[:]
}

func checkRequestID(id string) error {
	switch {
	case len(id) > maxRequestID:
		return fault.New(fault.InvalidArgument, "has %d bytes, and a request id has at most %d", len(id), maxRequestID).
			On("request-id", id).Fix("use a shorter one")
	case !utf8.ValidString(id), slices.ContainsFunc([]rune(id), func(r rune) bool { return !unicode.IsGraphic(r) }):
		return fault.New(fault.InvalidArgument, "holds something that cannot be printed").On("request-id", id).Fix("use letters and digits")
	}
	return nil
}

// intent begins the record of an operator that a user asks for.
func (who asker) intent(operator string, kind record.Kind, now time.Time) *record.Intent {
	return &record.Intent{
		Operator: operator, Kind: kind, By: record.ByUser, Reason: cmp.Or(who.why, "asked for by a user"),
		RequestID: who.id, Body: who.body, CreatedAt: now,
		Marks: []record.Mark{{Stage: record.StageQueued, At: now}},
	}
}

// request is what a keyspace record remembers of a change of its own.
func (who asker) request(operator string, now time.Time) record.Request {
	return record.Request{ID: who.id, Body: who.body, Operator: operator, At: now}
}
