package etcdx

import (
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrUnknown means that a transaction may have been carried out, may be carried out later, or never. An error of a
// transaction that does not wrap it is a definite no: nothing of it is in etcd.
var ErrUnknown = errors.New("outcome unknown")

// verdict says what an error of etcd tells about the request it answers.
type verdict uint8

const (
	// unknown: lost on the way there or back.
	unknown verdict = iota
	// notNow: etcd has not carried it out and may do so if asked again.
	notNow
	// never: etcd has not carried it out and will not.
	never
)

// classified marks errors that leave the outcome open.
func classified(err error) error {
	if verdictOf(err) == unknown {
		return fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	return err
}

func verdictOf(err error) verdict {
	switch {
	case errors.Is(err, ErrUnknown), errors.Is(err, rpctypes.ErrNoSpace):
		// The member that runs into its quota answers "no space" to a request that it has carried out: the check
		// is before the apply, its error after it. Only from then on requests are refused beforehand.
		return unknown
	case errors.Is(err, rpctypes.ErrTooManyRequests), errors.Is(err, rpctypes.ErrAuthOldRevision):
		return notNow
	}
	switch codeOf(err) {
	case codes.Unauthenticated, codes.FailedPrecondition:
		return notNow
	case codes.InvalidArgument, codes.PermissionDenied, codes.NotFound, codes.OutOfRange, codes.Unimplemented,
		// Messages over the limits of gRPC itself; etcd's own uses of this code are handled above.
		codes.ResourceExhausted:
		return never
	}
	return unknown
}

func codeOf(err error) codes.Code {
	var known rpctypes.EtcdError // what clientv3 makes of the errors it knows
	if errors.As(err, &known) {
		return known.Code()
	}
	return status.Code(err)
}
