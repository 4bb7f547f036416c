package etcdtest

import (
	"context"
	"reflect"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// watchRetry is how long a broken watch waits before it is opened again.
const watchRetry = 50 * time.Millisecond

// watcher replaces clientv3's. That one gives its streams a context whose Done channel is a variable of its package: no
// bubble owns it, so a goroutine that waits on it keeps virtual time from passing. Each watch has a stream of its own
// here; like the original it goes on after a lost connection where it was, and joins fragments.
type watcher struct {
	remote pb.WatchClient
	done   chan struct{}
	once   sync.Once

	mu      sync.Mutex
	streams map[*watchStream]struct{}
}

func newWatcher(cc grpc.ClientConnInterface) *watcher {
	return &watcher{remote: pb.NewWatchClient(cc), done: make(chan struct{}), streams: make(map[*watchStream]struct{})}
}

func (w *watcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	ctx, cancel := context.WithCancel(ctx)
	s := &watchStream{owner: w, out: make(chan clientv3.WatchResponse), create: createRequest(clientv3.OpWatch(key, opts...))}
	s.announce = s.create.announce
	go func() {
		defer cancel()
		s.run(ctx)
	}()
	go func() {
		select {
		case <-w.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return s.out
}

func (w *watcher) RequestProgress(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.streams {
		if err := s.conn.Send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_ProgressRequest{ProgressRequest: &pb.WatchProgressRequest{}}}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (w *watcher) Close() error {
	w.once.Do(func() { close(w.done) })
	return nil
}

// createRequest reads what clientv3's options have set. The fields have no accessors.
type watchCreate struct {
	request  *pb.WatchCreateRequest
	announce bool
}

func createRequest(op clientv3.Op) watchCreate {
	v := reflect.ValueOf(op)
	flag := func(name string) bool { return v.FieldByName(name).Bool() }
	r := &pb.WatchCreateRequest{
		Key: op.KeyBytes(), RangeEnd: op.RangeBytes(), StartRevision: op.Rev(),
		ProgressNotify: flag("progressNotify"), PrevKv: flag("prevKV"), Fragment: flag("fragment"),
	}
	if flag("filterPut") {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NOPUT)
	}
	if flag("filterDelete") {
		r.Filters = append(r.Filters, pb.WatchCreateRequest_NODELETE)
	}
	return watchCreate{request: r, announce: flag("createdNotify")}
}

// watchStream is one watch. Its fields belong to run's goroutine; conn is set and used under the owner's mutex.
type watchStream struct {
	owner    *watcher
	create   watchCreate
	announce bool // the answer to the creation is still owed to the caller
	out      chan clientv3.WatchResponse
	conn     pb.Watch_WatchClient
	joined   *pb.WatchResponse // fragments so far
}

func (s *watchStream) run(ctx context.Context) {
	defer close(s.out)
	for ctx.Err() == nil {
		if s.follow(ctx) {
			return
		}
		_ = pass(ctx, watchRetry)
	}
}

// follow opens a stream and hands on what it brings until it breaks. It reports true if the watch is over for good.
func (s *watchStream) follow(ctx context.Context) (over bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := s.owner.remote.Watch(ctx)
	if err != nil {
		return s.refused(ctx, err)
	}
	s.register(conn)
	defer s.unregister()
	s.joined = nil
	if err := s.send(&pb.WatchRequest{RequestUnion: &pb.WatchRequest_CreateRequest{CreateRequest: s.create.request}}); err != nil {
		return false
	}
	for {
		r, err := conn.Recv()
		if err != nil {
			return s.refused(ctx, err)
		}
		if s.take(ctx, r) {
			return true
		}
	}
}

// refused tells an answer that will not change from a connection that may come back.
func (s *watchStream) refused(ctx context.Context, err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.Internal, codes.Canceled, codes.DeadlineExceeded:
		return false
	}
	s.deliver(ctx, clientv3.WatchResponse{Header: &pb.ResponseHeader{}, Canceled: true, CancelReason: status.Convert(err).Message()})
	return true
}

// take handles one message. It reports true if the watch is over for good.
func (s *watchStream) take(ctx context.Context, r *pb.WatchResponse) bool {
	if r.Created && !r.Canceled {
		return s.created(ctx, r)
	}
	if s.joined != nil {
		r.Events = append(s.joined.Events, r.Events...)
		s.joined = nil
	}
	if r.Fragment {
		s.joined = r
		return false
	}
	ok := s.deliver(ctx, clientv3.WatchResponse{
		Header: r.Header, Events: r.Events, CompactRevision: r.CompactRevision,
		Canceled: r.Canceled, Created: r.Created, CancelReason: r.CancelReason,
	})
	if !ok || r.Canceled {
		return true
	}
	s.create.request.StartRevision = r.Header.Revision + 1
	if n := len(r.Events); n > 0 {
		s.create.request.StartRevision = r.Events[n-1].Kv.ModRevision + 1
	}
	return false
}

func (s *watchStream) created(ctx context.Context, r *pb.WatchResponse) bool {
	if s.create.request.StartRevision == 0 {
		s.create.request.StartRevision = r.Header.Revision + 1
	}
	if !s.announce {
		return false
	}
	s.announce = false
	return !s.deliver(ctx, clientv3.WatchResponse{Header: r.Header, Created: true})
}

func (s *watchStream) deliver(ctx context.Context, r clientv3.WatchResponse) bool {
	select {
	case s.out <- r:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *watchStream) register(conn pb.Watch_WatchClient) {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	s.conn = conn
	s.owner.streams[s] = struct{}{}
}

func (s *watchStream) unregister() {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	delete(s.owner.streams, s)
}

func (s *watchStream) send(r *pb.WatchRequest) error {
	s.owner.mu.Lock()
	defer s.owner.mu.Unlock()
	return s.conn.Send(r)
}
