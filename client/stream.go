package client

import (
	"context"
	"errors"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	controlv1 "github.com/spanward/spanward/api/control/v1"
)

// NewStream is what the generated code calls for every streaming method: it opens the stream at the first maintainer that
// can be reached.
func (c *Client) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	var stream grpc.ClientStream
	err := c.retry(ctx, func(try context.Context, conn *grpc.ClientConn) error {
		// The stream outlives the try, so it gets a context of its own, which ends with the try only while it opens.
		own, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(try, cancel)
		s, err := conn.NewStream(own, desc, method, opts...)
		if err == nil && stop() {
			stream = &clientStream{ClientStream: s, cluster: c, cancel: cancel}
			return nil
		}
		cancel()
		if err == nil {
			err = try.Err()
		}
		return err
	})
	return stream, err
}

// clientStream completes the request, and ends its context with the stream.
type clientStream struct {
	grpc.ClientStream
	cluster *Client
	cancel  context.CancelFunc
}

func (s *clientStream) SendMsg(m any) error {
	s.cluster.complete(m)
	return s.ClientStream.SendMsg(m)
}

func (s *clientStream) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err != nil {
		s.cancel()
	}
	return err
}

// ListSpans gathers a whole listing. If it breaks off it begins again.
func (c *Client) ListSpans(ctx context.Context, req *controlv1.ListSpansRequest) ([]*controlv1.Span, error) {
	c.complete(req)
	var all []*controlv1.Span
	err := gather(ctx, c, func(ctx context.Context, cc controlv1.ControlClient) (grpc.ServerStreamingClient[controlv1.ListSpansResponse], error) {
		all = nil
		return cc.ListSpans(ctx, req)
	}, func(resp *controlv1.ListSpansResponse) { all = append(all, resp.GetSpans()...) })
	return all, err
}

// Plan gathers a whole plan. If it breaks off it begins again: pieces of two plans would be none.
func (c *Client) Plan(ctx context.Context, req *controlv1.PlanRequest) (*controlv1.PlanResponse, error) {
	c.complete(req)
	var all *controlv1.PlanResponse
	err := gather(ctx, c, func(ctx context.Context, cc controlv1.ControlClient) (grpc.ServerStreamingClient[controlv1.PlanResponse], error) {
		all = &controlv1.PlanResponse{}
		return cc.Plan(ctx, req)
	}, func(piece *controlv1.PlanResponse) { proto.Merge(all, piece) })
	return all, err
}

// gather takes all pieces of an answer. If it breaks off open is called again, which forgets the pieces so far.
func gather[T any](
	ctx context.Context, c *Client, open func(context.Context, controlv1.ControlClient) (grpc.ServerStreamingClient[T], error), take func(*T),
) error {
	return c.retry(ctx, func(try context.Context, conn *grpc.ClientConn) error {
		ctx, more, cancel := quiet(ctx, try)
		defer cancel()
		stream, err := open(ctx, controlv1.NewControlClient(conn))
		for err == nil {
			var piece *T
			if piece, err = stream.Recv(); err == nil {
				take(piece)
				more()
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	})
}

// quiet gives a stream a context that ends when nothing has come for as long as one try may take: a listing of a million
// spans may take longer than that, as long as it goes on.
func quiet(parent, try context.Context) (ctx context.Context, more, cancel func()) {
	limit := defaultTryTimeout
	if end, ok := try.Deadline(); ok {
		limit = time.Until(end)
	}
	ctx, stop := context.WithCancel(parent)
	t := time.AfterFunc(limit, stop)
	return ctx, func() { t.Reset(limit) }, func() { t.Stop(); stop() }
}

// WatchOperators gives every change to f, first the operators in flight, until ctx ends, f returns an error, or the answer is
// definite. When a maintainer goes away it goes on at another, which begins with the operators in flight again.
func (c *Client) WatchOperators(ctx context.Context, req *controlv1.WatchOperatorsRequest, f func(*controlv1.Operator) error) error {
	for {
		stream, err := c.Control().WatchOperators(ctx, req)
		if err != nil {
			return err
		}
		for {
			var resp *controlv1.WatchOperatorsResponse
			if resp, err = stream.Recv(); err != nil {
				break
			}
			if err := f(resp.GetOperator()); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !again(err) || !sleep(ctx, minPause) {
			return err
		}
	}
}
