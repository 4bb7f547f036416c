package fault_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/fault"
)

// Scripts branch on these: a row may be added, never changed.
var contract = map[fault.Reason]int{
	"INVALID_ARGUMENT": 2, "INVALID_NAME": 2, "INVALID_RANGE": 2, "INVALID_KEY": 2,

	"RANGE_OVERLAP": 3, "UNKNOWN_KEYSPACE": 3, "UNKNOWN_SPAN": 3, "UNKNOWN_NODE": 3, "UNKNOWN_WORKLOAD": 3,
	"UNKNOWN_OPERATOR": 3, "UNKNOWN_LABEL": 3, "ALREADY_EXISTS": 3, "SPAN_BUSY": 3, "NODE_NOT_READY": 3, "NOT_MOVED": 3,
	"REQUEST_CONFLICT": 3, "WRONG_CLUSTER": 3, "REFUSED": 3, "PLAN_OUTDATED": 3, "ETCD_TOO_OLD": 3, "ETCD_AUTH": 3,

	"NOT_LEADER": 4, "UNAVAILABLE": 4, "TIMEOUT": 4, "ETCD_UNREACHABLE": 4,

	"FAILED": 1, "VIOLATED": 1, "UNEQUAL": 1, "INTERNAL": 1,
}

func TestReasonsAreTheContract(t *testing.T) {
	for _, r := range fault.Reasons() {
		if _, ok := contract[r]; !ok {
			t.Errorf("%s is not in the contract's table", r)
		}
	}
	for r, code := range contract {
		if !r.Known() {
			t.Errorf("%s is gone", r)
		}
		if got := fault.ExitCode(fmt.Errorf("move: %w", fault.New(r, "x"))); got != code {
			t.Errorf("%s exits with %d, want %d", r, got, code)
		}
	}
}

func TestExitCodeWithoutReason(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{io.ErrUnexpectedEOF, 1},
		{context.Canceled, 1},
		{fmt.Errorf("list: %w", context.DeadlineExceeded), 4},
		{fault.New("FROM_THE_FUTURE", "x"), 1},
		// The reason says more than what it wraps.
		{fault.New(fault.SpanBusy, "x").Because(context.DeadlineExceeded), 3},
	} {
		if got := fault.ExitCode(tc.err); got != tc.want {
			t.Errorf("ExitCode(%v) = %d, want %d", tc.err, got, tc.want)
		}
	}
}

func TestErrorLine(t *testing.T) {
	for _, tc := range []struct {
		err  *fault.Error
		want string
	}{
		{fault.New(fault.UnknownNode, "no such node").On("to", "n9").Fix("see `spanward node list`"), "to \"n9\": no such node; see `spanward node list`"},
		{fault.New(fault.NotLeader, "n1 does not lead"), "n1 does not lead"},
		{fault.New(fault.EtcdTooOld, ""), "etcd too old"},
		{fault.New(fault.InvalidArgument, "is missing").On("--workload", ""), "--workload: is missing"},
		{fault.New(fault.Refused, "used by %d spans", 3).On("", "ks"), `"ks": used by 3 spans`},
		// A message from elsewhere is not a format.
		{fault.New(fault.Failed, "100%d done"), "100%d done"},
		// Escaped keys stay as they are typed; only what would break the line is quoted.
		{fault.New(fault.InvalidKey, "bad").On("key", `a\xff`), `key "a\xff": bad`},
		{fault.New(fault.InvalidKey, "bad").On("key", "a\nb"), `key "a\nb": bad`},
		{fault.New(fault.InvalidKey, "bad").On("key", "\xff"), `key "\xff": bad`},
		{fault.New(fault.Failed, "first\nsecond").Fix("third\r\n"), "first second; third"},
	} {
		if got := tc.err.Error(); got != tc.want {
			t.Errorf("got  %s\nwant %s", got, tc.want)
		}
	}
}

func TestErrorIsOneShortLineWhateverItHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := strings.Repeat(string(rapid.SliceOf(rapid.Byte()).Draw(t, "value")), rapid.IntRange(1, 100).Draw(t, "times"))
		line := fault.New(fault.InvalidKey, "bad").On("key", value).Error()
		if strings.ContainsFunc(line, unicode.IsControl) {
			t.Fatalf("control characters in %q", line)
		}
		if len(line) > 2000 {
			t.Fatalf("%d bytes", len(line))
		}
	})
}

func TestCauseIsFoundAndNotPrinted(t *testing.T) {
	err := fault.New(fault.Unavailable, "no answer").Because(io.EOF)
	if !errors.Is(err, io.EOF) {
		t.Error("the cause is lost")
	}
	if strings.Contains(err.Error(), io.EOF.Error()) {
		t.Errorf("the cause is printed: %s", err)
	}
	if !fault.Is(fmt.Errorf("a: %w", err), fault.Unavailable) || fault.Is(err, fault.Timeout) || fault.Is(io.EOF, fault.Failed) {
		t.Error("Is looks at something else than the reason")
	}
}

func TestForFieldLeavesTheOriginal(t *testing.T) {
	err := fault.New(fault.InvalidKey, "bad").On("key", "x").Because(io.EOF)
	got := fault.ForField(err, "--at")
	if got.Error() != `--at "x": bad` || err.Field != "key" || !errors.Is(got, io.EOF) {
		t.Errorf("got %v, original %v", got, err)
	}
	if fault.ForField(io.EOF, "x") != io.EOF || fault.ForField(nil, "x") != nil {
		t.Error("errors without a reason must pass")
	}
}

func TestJSONHasEveryField(t *testing.T) {
	got, err := json.Marshal(fault.New(fault.NotLeader, "m"))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"reason":"NOT_LEADER","field":"","value":"","message":"m","remedy":""}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
