package rpcerr

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/spanward/spanward/internal/fault"
)

// domain marks the details that are ours.
const domain = "spanward"

// The metadata of the details.
const (
	metaField  = "field"
	metaValue  = "value"
	metaRemedy = "remedy"
)

// maxText bounds each text of an error on the wire: together they have to fit into the trailers of a call, where peers
// commonly allow 16 KiB. It holds the longest key that is mostly printable.
const maxText = 5 << 10

// specific has the codes that say more than the class of the reason does.
var specific = map[fault.Reason]codes.Code{
	fault.UnknownKeyspace: codes.NotFound,
	fault.UnknownSpan:     codes.NotFound,
	fault.UnknownNode:     codes.NotFound,
	fault.UnknownWorkload: codes.NotFound,
	fault.UnknownOperator: codes.NotFound,
	fault.AlreadyExists:   codes.AlreadyExists,
	fault.SpanBusy:        codes.Aborted,
	fault.Timeout:         codes.DeadlineExceeded,
	fault.Internal:        codes.Internal,
}

// Code is the gRPC code for a reason.
func Code(r fault.Reason) codes.Code {
	if c, ok := specific[r]; ok {
		return c
	}
	switch r.Class() {
	case fault.ClassUsage:
		return codes.InvalidArgument
	case fault.ClassConflict:
		return codes.FailedPrecondition
	case fault.ClassUnavailable:
		return codes.Unavailable
	case fault.ClassFailed:
	}
	return codes.Unknown
}

// ToStatus turns what a handler returns into what crosses the wire. A nil error stays nil.
func ToStatus(err error) error {
	st, _ := toStatus(err)
	return st.Err()
}

// toStatus also says whether the text of the error was kept back.
func toStatus(err error) (st *status.Status, hidden bool) {
	if err == nil {
		return nil, false
	}
	if f, ok := fault.As(err); ok {
		return encode(f), false
	}
	st = status.Convert(err)
	if _, ours := details(st); ours {
		return st, false // from a call that this handler made without the client's interceptors
	}
	switch code := st.Code(); {
	case code == codes.Canceled || errors.Is(err, context.Canceled):
		return status.New(codes.Canceled, "the call was cancelled"), false
	case code == codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded):
		return encode(fault.New(fault.Timeout, "the server did not finish in time").Fix(repeat)), false
	case code == codes.ResourceExhausted || code == codes.Unimplemented:
		// gRPC's own: a message that is too long, a method of a newer version.
		return status.New(code, st.Message()), false
	}
	return encode(fault.New(fault.Internal, "internal error").Fix("see the log of the server")), true
}

// repeat is the remedy where the outcome is unknown.
const repeat = "repeat with the same --request-id"

func encode(f *fault.Error) *status.Status {
	st := status.New(Code(f.Reason), clean(f.Message))
	info := &errdetails.ErrorInfo{Reason: clean(string(f.Reason)), Domain: domain, Metadata: map[string]string{
		metaField: clean(f.Field), metaValue: clean(f.Value), metaRemedy: clean(f.Remedy),
	}}
	with, err := st.WithDetails(info)
	if err != nil { // only for codes.OK, which no reason has
		return st
	}
	return with
}

// clean makes a text fit for protobuf, which refuses a message for one byte that is not UTF-8, and for the trailers.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// FromStatus turns what a call returned into a *fault.Error that wraps it. Errors that are no gRPC status, such as io.EOF at
// the end of a stream, are returned as they are. The context is the call's: only if it is over does the result match
// context.Canceled, else a server that stops would look like a caller that gave up.
func FromStatus(ctx context.Context, err error) error {
	return fromStatus(ctx.Err, err)
}

func fromStatus(over func() error, err error) error {
	st, ok := status.FromError(err)
	if err == nil || !ok {
		return err
	}
	f := decode(st)
	cause := over()
	if cause == nil && f.Reason == fault.Timeout {
		cause = context.DeadlineExceeded // gRPC may see a deadline pass before the context says so
	}
	return f.Because(errors.Join(cause, err))
}

func decode(st *status.Status) *fault.Error {
	info, ours := details(st)
	if !ours {
		return foreign(st)
	}
	meta := info.GetMetadata()
	return fault.New(known(fault.Reason(info.GetReason()), st.Code()), "%s", st.Message()).
		On(meta[metaField], meta[metaValue]).Fix("%s", meta[metaRemedy])
}

// details finds what encode put in.
func details(st *status.Status) (*errdetails.ErrorInfo, bool) {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == domain {
			return info, true
		}
	}
	return nil, false
}

// known replaces a reason of a newer version by the general one of its class, which the code gives away.
func known(r fault.Reason, code codes.Code) fault.Reason {
	if r.Known() {
		return r
	}
	switch code {
	case codes.InvalidArgument:
		return fault.InvalidArgument
	case codes.FailedPrecondition, codes.NotFound, codes.AlreadyExists, codes.Aborted:
		return fault.Refused
	case codes.Unavailable:
		return fault.Unavailable
	case codes.DeadlineExceeded:
		return fault.Timeout
	}
	return fault.Failed
}

// foreign explains what gRPC itself, or something that is not Spanward, answered.
func foreign(st *status.Status) *fault.Error {
	switch st.Code() {
	case codes.Unavailable:
		return fault.New(fault.Unavailable, "no answer: %s", st.Message()).Fix("check that it runs and can be reached, then " + repeat)
	case codes.DeadlineExceeded:
		return fault.New(fault.Timeout, "no answer in time").Fix(repeat)
	case codes.Canceled:
		return fault.New(fault.Unavailable, "the call was cancelled").Fix(repeat)
	case codes.Unimplemented:
		return fault.New(fault.Refused, "the server cannot do this: %s", st.Message()).Fix("use a client and a server of the same version")
	case codes.Unauthenticated, codes.PermissionDenied:
		return fault.New(fault.Refused, "%s", st.Message()).Fix("check the credentials")
	}
	return fault.New(fault.Internal, "%s", st.Message()).Fix("see the log of the server")
}
