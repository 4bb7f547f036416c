package record

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	storev1 "github.com/spanward/spanward/api/store/v1"
)

// ErrInvalid is what every Decode function returns, wrapped with the reason, for bytes that are not a record of
// the asked kind, or that contradict themselves.
//
// Rolling upgrades: fields that this version does not know are accepted and dropped, so whoever rewrites a record
// rewrites it without them. Preserving them would be worse than useless here, since a new field would survive
// beside values that were changed without regard to it. A new field must therefore be one whose loss does no
// harm until every process knows it. An enum value that this version does not know is different: acting on such
// a record without understanding it is not safe, so the record is invalid and the view quarantines it.
//
// Nil and empty lists and maps are the same in etcd and come back as nil. Times are Unix nanoseconds in UTC, the
// zero time is 0. A node's TTL has whole milliseconds.
var ErrInvalid = errors.New("invalid record")

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}

// encode marshals m so that equal values give equal bytes. It cannot fail: all strings went through text.
func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("record: %T does not marshal: %v", m, err))
	}
	return b
}

// decode unmarshals b into m. A value made only of fields that nobody knows is not a record of a newer version
// but something else.
func decode(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		// The text of protobuf errors is made unstable on purpose (a space that may be a no-break one), and
		// ends up in problems that people compare.
		return invalid("not the protobuf of a %s", m.ProtoReflect().Descriptor().Name())
	}
	if u := m.ProtoReflect().GetUnknown(); len(b) > 0 && len(u) == len(b) {
		return invalid("nothing known in %d bytes", len(b))
	}
	return nil
}

// text makes s fit for a protobuf string. Texts of errors may hold anything.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func texts(in []string) []string { return each(in, text) }

func textMap(in map[string]string) map[string]string {
	if len(in) == 0 {
		return nil
	}
	out := make(map[string]string, len(in))
	for k, v := range in {
		out[text(k)] = text(v)
	}
	return out
}

// each maps f over in; nothing gives nil, so that values compare equal after a round trip.
func each[A, B any](in []A, f func(A) B) []B {
	if len(in) == 0 {
		return nil
	}
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

func nonEmpty[K comparable, V any](m map[K]V) map[K]V {
	if len(m) == 0 {
		return nil
	}
	return m
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func encodeRequest(r Request) *storev1.Request {
	return &storev1.Request{Id: text(r.ID), Body: bytes.Clone(r.Body), Operator: text(r.Operator), At: nanos(r.At)}
}

func decodeRequest(r *storev1.Request) Request {
	return Request{ID: r.GetId(), Body: nonEmptyBytes(r.GetBody()), Operator: r.GetOperator(), At: moment(r.GetAt())}
}

func nonEmptyBytes(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}
