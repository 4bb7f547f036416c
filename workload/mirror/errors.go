package mirror

import (
	"errors"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

var (
	// errFenced means that a newer owner has taken over some key of the range: nothing may be written any more.
	errFenced = errors.New("fenced: a newer owner has opened a range that overlaps this span's")
	// errBusy means that the segments at the destination never stood still.
	errBusy = errors.New("the fences at the destination change all the time")
	// errCompacted means that the source no longer has what comes after a position.
	errCompacted = errors.New("the source has compacted the position away")
	// errBehind means that changes come faster than they can be written, and the rest is read again later.
	errBehind = errors.New("the destination is slower than the source")
	// errRejoin means that a watch has caught up and can share the stream of the others.
	errRejoin = errors.New("caught up")
	// errStalled means that a watch has been silent although progress was asked for.
	errStalled = errors.New("the watch of the source is silent; watching again")
	// errProgress means that etcd announced progress beyond a change that it had yet to deliver.
	errProgress = errors.New("the source delivered a change after announcing progress beyond it")
)

// unfit is a change that the destination will never take as it is.
func unfit(g group, m mapping, cause error) error {
	largest := change{}
	for _, c := range g.changes {
		if len(largest.key)+len(largest.value) <= len(c.key)+len(c.value) {
			largest = c
		}
	}
	size := g.bytes(m)
	return fault.New(fault.Failed, "the destination refuses %d keys, %d bytes, written at revision %d: %v", len(g.changes), size, g.rev, cause).
		On("key", span.EscapeKey(largest.key)).Because(cause).
		Fix("raise --max-request-bytes or --max-txn-ops of the destination, or delete the key; the span goes on by itself then")
}

// tooLarge recognises that a request was refused for its size. Such an answer is definite: nothing was done.
func tooLarge(err error) bool {
	if errors.Is(err, rpctypes.ErrRequestTooLarge) || errors.Is(err, rpctypes.ErrTooManyOps) ||
		errors.Is(err, rpctypes.ErrGRPCRequestTooLarge) || errors.Is(err, rpctypes.ErrGRPCTooManyOps) {
		return true
	}
	text := err.Error()
	s, ok := status.FromError(err)
	if ok && s.Code() != codes.ResourceExhausted && s.Code() != codes.InvalidArgument && s.Code() != codes.Unknown {
		return false
	}
	return strings.Contains(text, "message larger than max") || strings.Contains(text, "request is too large") ||
		strings.Contains(text, "too many operations")
}

// largeAnswer recognises that etcd's answer, not a request, exceeded what gRPC lets through.
func largeAnswer(err error) bool {
	_, own := fault.As(err)
	return !own && strings.Contains(err.Error(), "message larger than max")
}

func isCompacted(err error) bool {
	return errors.Is(err, errCompacted) || errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, rpctypes.ErrGRPCCompacted)
}

func isLeaseGone(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseNotFound) || errors.Is(err, rpctypes.ErrGRPCLeaseNotFound)
}

// ahead says that the sink knows a greater token than the one that asks.
func ahead(s segment, own uint64) error {
	return fault.New(fault.Refused, "the destination is fenced for %s with token %d of %s, this one is %d", s.Range, s.Token, s.Node, own).
		On("token", s.Span).
		Fix("a newer owner runs, then nothing is to do; or the control plane's etcd was restored from a backup, then raise its generation")
}

// otherSource refuses to go on from a position of another history.
func otherSource(format string, args ...any) error {
	return fault.New(fault.WrongCluster, format, args...).On("source", "").
		Fix("point the source back, or delete the keyspace and create it anew, which copies everything and deletes what the source does not have")
}

func isLeaseExist(err error) bool {
	return errors.Is(err, rpctypes.ErrLeaseExist) || errors.Is(err, rpctypes.ErrGRPCLeaseExist) ||
		strings.Contains(err.Error(), rpctypes.ErrorDesc(rpctypes.ErrGRPCLeaseExist))
}
