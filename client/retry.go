package client

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/spanward/spanward/internal/fault"
)

type call func(ctx context.Context, conn *grpc.ClientConn) error

// retry makes the call at one maintainer after the other until one gives a definite answer.
func (c *Client) retry(ctx context.Context, do call) error {
	patient, cancel := c.patience(ctx, c.cfg.Patience)
	defer cancel()
	began, try, pause := time.Now(), c.cfg.TryTimeout, minPause
	for {
		addrs, err := c.cfg.Find(patient)
		if err == nil {
			err = c.round(patient, addrs, try, do)
		}
		if !again(err) {
			return err
		}
		if _, bounded := ctx.Deadline(); !bounded && len(addrs) == 0 && errors.Is(err, errNobody) && time.Since(began) > nobodyPatience {
			return c.nobody()
		}
		if !sleep(patient, pause+rand.N(pause)) {
			return c.gaveUp(ctx, time.Since(began), err)
		}
		try, pause = try*2, min(pause*2, maxPause)
	}
}

// patience bounds the context, if the caller has not.
func (c *Client) patience(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if _, bounded := ctx.Deadline(); bounded {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// errNobody is a round without anybody to ask.
var errNobody = fault.New(fault.Unavailable, "no maintainer is registered")

// round asks each maintainer once, and returns the first definite answer or else the last error.
func (c *Client) round(ctx context.Context, addrs []string, try time.Duration, do call) error {
	var err error = errNobody
	for _, addr := range addrs {
		if err = c.once(ctx, addr, try, do); !again(err) || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (c *Client) once(ctx context.Context, addr string, try time.Duration, do call) error {
	conn, err := c.conn(addr)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, try)
	defer cancel()
	return do(ctx, conn)
}

// again says that another try may help: nobody has answered, or not the one who could.
func again(err error) bool {
	if f, ok := fault.As(err); ok {
		return f.Reason.Class() == fault.ClassUnavailable
	}
	return errors.Is(err, context.DeadlineExceeded)
}

func (c *Client) nobody() error {
	return fault.New(fault.Unavailable, "no maintainer is registered").On("cluster", c.cfg.Cluster).
		Fix("start one with `spanward maintainer`, or check --etcd and --cluster")
}

// gaveUp explains why there is no answer.
func (c *Client) gaveUp(ctx context.Context, after time.Duration, last error) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	reason := fault.Unavailable
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		reason = fault.Timeout
	}
	what := last.Error()
	if f, ok := fault.As(last); ok && f.Message != "" {
		what = f.Message
	}
	return fault.New(reason, "no answer within %s: %s", after.Round(time.Millisecond), what).
		Fix("check that etcd and the maintainers run and can be reached").Because(last)
}

// sleep is false once the context is over, at once if it would be over before the pause is.
func sleep(ctx context.Context, pause time.Duration) bool {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// complete fills in the cluster, and the request id that makes repeating safe, where a request has such fields and the
// caller has left them empty.
func (c *Client) complete(req any) {
	m, ok := req.(proto.Message)
	if !ok {
		return
	}
	setDefault(m, "cluster", func() string { return c.cfg.Cluster })
	setDefault(m, "request_id", uuid.NewString)
}

func setDefault(m proto.Message, name protoreflect.Name, value func() string) {
	r := m.ProtoReflect()
	if f := r.Descriptor().Fields().ByName(name); f != nil && !r.Has(f) {
		r.Set(f, protoreflect.ValueOfString(value()))
	}
}
