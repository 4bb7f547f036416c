package rpcerr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/internal/rpcerr"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service answers both kinds of call with whatever fail returns.
type service struct {
	health.UnimplementedHealthServer
	fail func(ctx context.Context) error
}

func (s *service) Check(ctx context.Context, _ *health.HealthCheckRequest) (*health.HealthCheckResponse, error) {
	return &health.HealthCheckResponse{}, s.fail(ctx)
}

func (s *service) Watch(_ *health.HealthCheckRequest, stream grpc.ServerStreamingServer[health.HealthCheckResponse]) error {
	return s.fail(stream.Context())
}

type world struct {
	client health.HealthClient
	log    *observer.ObservedLogs
	stop   func()
}

func start(t *testing.T, fail func(context.Context) error) world {
	t.Helper()
	core, logs := observer.New(zap.DebugLevel)
	log := zap.New(core)
	listener := bufconn.Listen(1 << 16)
	server := grpc.NewServer(grpc.UnaryInterceptor(rpcerr.UnaryServer(log)), grpc.StreamInterceptor(rpcerr.StreamServer(log)))
	health.RegisterHealthServer(server, &service{fail: fail})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///test",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(rpcerr.UnaryClient()), grpc.WithStreamInterceptor(rpcerr.StreamClient()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return world{client: health.NewHealthClient(conn), log: logs, stop: server.Stop}
}

// call makes one call of each kind; both have to end in the same way.
func (w world) call(ctx context.Context, t *testing.T) error {
	t.Helper()
	_, unary := w.client.Check(ctx, &health.HealthCheckRequest{})
	stream, err := w.client.Watch(ctx, &health.HealthCheckRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if fmt.Sprint(unary) != fmt.Sprint(err) || fault.ExitCode(unary) != fault.ExitCode(err) {
		t.Errorf("unary: %v\nstream: %v", unary, err)
	}
	for _, over := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(unary, over) != errors.Is(err, over) {
			t.Errorf("only one is %q", over)
		}
	}
	return unary
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestEveryReasonSurvives(t *testing.T) {
	var next error
	w := start(t, func(context.Context) error { return next })
	for _, r := range fault.Reasons() {
		want := fault.New(r, "100%% of %s", "it").On("--field", `v\xff "quoted"`).Fix("do % this")
		next = fmt.Errorf("handler: %w", want.Because(io.ErrClosedPipe))
		err := w.call(bounded(t), t)
		got, ok := fault.As(err)
		if !ok {
			t.Fatalf("%s: %v", r, err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(fault.Error{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r, diff)
		}
		if code := status.Code(err); code != rpcerr.Code(r) || code == codes.OK {
			t.Errorf("%s: the code is %v", r, code)
		}
		// A process that forwards the call hands on what it got.
		if again := rpcerr.FromStatus(bounded(t), rpcerr.ToStatus(fmt.Errorf("forward: %w", err))); again.Error() != err.Error() {
			t.Errorf("%s: forwarded as %v", r, again)
		}
	}
	if w.log.Len() != 0 {
		t.Errorf("refusals are not the log's business: %v", w.log.All())
	}
}

func TestNilStaysNil(t *testing.T) {
	if err := start(t, func(context.Context) error { return nil }).call(bounded(t), t); err != nil {
		t.Fatal(err)
	}
}

func TestTextWithoutReasonGoesToTheLogOnly(t *testing.T) {
	for _, leaked := range []error{
		errors.New("secret: disk on fire"),
		fmt.Errorf("put: %w", status.Error(codes.Unavailable, "secret: etcd is away")),
		status.Error(codes.PermissionDenied, "secret: etcd refused"),
	} {
		w := start(t, func(context.Context) error { return leaked })
		err := w.call(bounded(t), t)
		if !fault.Is(err, fault.Internal) || status.Code(err) != codes.Internal {
			t.Errorf("%v became %v", leaked, err)
		}
		if strings.Contains(fmt.Sprintf("%v %#v", err, status.Convert(err).Proto()), "secret") {
			t.Errorf("the caller was told: %v", err)
		}
		entries := w.log.FilterLevelExact(zap.ErrorLevel).All()
		if len(entries) != 2 || !strings.Contains(fmt.Sprint(entries[0].ContextMap()), "secret") {
			t.Errorf("the log says %v", entries)
		}
	}
}

func TestBytesThatProtobufRefusesAndLongValues(t *testing.T) {
	want := fault.New(fault.InvalidKey, "bad \xff").On("k\xfe", "\xff"+strings.Repeat("é", 40_000)).Fix("\xfd")
	w := start(t, func(context.Context) error { return want })
	got, ok := fault.As(w.call(bounded(t), t))
	if !ok || got.Reason != fault.InvalidKey || got.Message != "bad \uFFFD" || got.Field != "k\uFFFD" || got.Remedy != "\uFFFD" {
		t.Fatalf("got %+v", got)
	}
	if len(got.Value) > 8<<10 || !strings.HasSuffix(got.Value, "é…") {
		t.Errorf("%d bytes, ending in %q", len(got.Value), got.Value[len(got.Value)-8:])
	}
}

func TestServerSideContextErrors(t *testing.T) {
	for _, late := range []error{context.DeadlineExceeded, status.FromContextError(context.DeadlineExceeded).Err()} {
		w := start(t, func(context.Context) error { return fmt.Errorf("etcd: %w", late) })
		if err := w.call(bounded(t), t); !fault.Is(err, fault.Timeout) || fault.ExitCode(err) != 4 {
			t.Errorf("got %v", err)
		}
	}
	// A server that stops cancels its handlers. A caller that took this for its own end would stop as well, quietly.
	w := start(t, func(context.Context) error { return fmt.Errorf("etcd: %w", context.Canceled) })
	if err := w.call(bounded(t), t); !fault.Is(err, fault.Unavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCallerGivesUp(t *testing.T) {
	w := start(t, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	late, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := w.call(late, t); !fault.Is(err, fault.Timeout) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late: %v", err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.call(gone, t); !fault.Is(err, fault.Unavailable) || !errors.Is(err, context.Canceled) || fault.ExitCode(err) != 4 {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	w := start(t, func(context.Context) error { return nil })
	w.stop()
	if err := w.call(bounded(t), t); !fault.Is(err, fault.Unavailable) || fault.ExitCode(err) != 4 {
		t.Errorf("got %v", err)
	}
}

func TestOtherVersions(t *testing.T) {
	w := start(t, func(context.Context) error { return nil })
	// A method that the server does not have.
	if _, err := w.client.List(bounded(t), &health.HealthListRequest{}); !fault.Is(err, fault.Refused) {
		t.Errorf("unimplemented: %v", err)
	}
	// A reason that the client does not have: the class is kept.
	for code, want := range map[codes.Code]int{
		codes.InvalidArgument: 2, codes.FailedPrecondition: 3, codes.NotFound: 3, codes.AlreadyExists: 3, codes.Aborted: 3,
		codes.Unavailable: 4, codes.DeadlineExceeded: 4, codes.Unknown: 1, codes.Internal: 1,
	} {
		sent := status.Convert(rpcerr.ToStatus(fault.New("FROM_THE_FUTURE", "m").Fix("r"))).Proto()
		sent.Code = int32(code)
		err := rpcerr.FromStatus(bounded(t), status.ErrorProto(sent))
		if fault.ExitCode(err) != want || err.Error() != "m; r" {
			t.Errorf("%v: exit %d, %v", code, fault.ExitCode(err), err)
		}
	}
}

func TestOtherErrorsPass(t *testing.T) {
	for _, err := range []error{nil, io.EOF, io.ErrUnexpectedEOF} {
		if got := rpcerr.FromStatus(bounded(t), err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}
