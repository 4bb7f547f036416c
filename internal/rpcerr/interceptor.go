package rpcerr

import (
	"context"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

// UnaryServer applies ToStatus to what unary handlers return, and logs what it kept back.
func UnaryServer(log *zap.Logger) grpc.UnaryServerInterceptor {
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		resp, err := handler(ctx, req)
		return resp, answer(log, info.FullMethod, err)
	}
}

// StreamServer is UnaryServer for streams.
func StreamServer(log *zap.Logger) grpc.StreamServerInterceptor {
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		return answer(log, info.FullMethod, handler(srv, stream))
	}
}

func answer(log *zap.Logger, method string, err error) error {
	st, hidden := toStatus(err)
	if hidden {
		log.Error("call ended with an error that has no reason", zap.String("method", method), zap.Error(err))
	}
	return st.Err()
}

// UnaryClient applies FromStatus to the errors of unary calls.
func UnaryClient() grpc.UnaryClientInterceptor {
	return func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
		return FromStatus(ctx, invoke(ctx, method, req, reply, cc, opts...))
	}
}

// StreamClient applies FromStatus to the errors of opening a stream, and of every message on it.
func StreamClient() grpc.StreamClientInterceptor {
	return func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		stream, err := open(ctx, desc, cc, method, opts...)
		if err != nil {
			return nil, FromStatus(ctx, err)
		}
		return &clientStream{ClientStream: stream, over: ctx.Err}, nil
	}
}

type clientStream struct {
	grpc.ClientStream
	// over asks the caller's context: that of the stream is always over by the time that an error is seen.
	over func() error
}

func (s *clientStream) Header() (metadata.MD, error) {
	md, err := s.ClientStream.Header()
	return md, fromStatus(s.over, err)
}

func (s *clientStream) RecvMsg(m any) error { return fromStatus(s.over, s.ClientStream.RecvMsg(m)) }

func (s *clientStream) SendMsg(m any) error { return fromStatus(s.over, s.ClientStream.SendMsg(m)) }

func (s *clientStream) CloseSend() error { return fromStatus(s.over, s.ClientStream.CloseSend()) }
