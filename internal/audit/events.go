package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spanward/spanward/span"
)

// Names of the violations that event logs show.
const (
	// TwoOwners: a key was owned twice at one moment.
	TwoOwners = "two_owners"
	// TokenOrder: an owner of a key had a smaller token than a former one, or the same in another process.
	TokenOrder = "token_order"
	// ActsAfterEnd: a process renewed its right to a span after it had closed, aborted or been fenced.
	ActsAfterEnd = "acts_after_end"
)

// eventLine is one line of an event log, as the contract has it.
type eventLine struct {
	At         int64   `json:"boottime_ns"`
	Node       string  `json:"node"`
	PID        int     `json:"pid"`
	Event      string  `json:"event"`
	Keyspace   string  `json:"keyspace"`
	Span       string  `json:"span"`
	Start      string  `json:"start"`
	End        string  `json:"end"`
	Token      uint64  `json:"token"`
	Checkpoint *uint64 `json:"checkpoint"`
	Until      int64   `json:"may_act_until_boottime_ns"`

	keys span.Range
	text string
}

// Events checks the event logs of one host. The zero Events has read nothing.
type Events struct {
	// Deaths says at which boottime, in nanoseconds, processes died. What is not named here may live for ever.
	Deaths map[int]int64

	lines []eventLine
}

// ReadFile reads one event log more. Processes may share one, and one event may be in several.
func (ev *Events) ReadFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("event log: %w", err)
	}
	defer f.Close()
	return ev.Read(f, path)
}

// Read reads lines up to the end. A last line without its newline that cannot be read was cut off by the death of its
// writer and is left out; anywhere else such a line is an error.
func (ev *Events) Read(r io.Reader, name string) error {
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		text, torn, err := nextLine(in)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if text = bytes.TrimSpace(text); len(text) > 0 {
			switch l, err := parseLine(text); {
			case err == nil:
				ev.lines = append(ev.lines, l)
			case !torn:
				return fmt.Errorf("%s, line %d: %w", name, n, err)
			}
		}
		if torn {
			return nil
		}
	}
}

// nextLine is the next line; torn says that nothing ends it, not even with a newline.
func nextLine(in *bufio.Reader) (text []byte, torn bool, err error) {
	text, err = in.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return text, true, nil
	}
	return text, false, err
}

func parseLine(text []byte) (eventLine, error) {
	l := eventLine{text: string(text)}
	if err := json.Unmarshal(text, &l); err != nil {
		return l, err
	}
	var err error
	if l.keys.Start, err = span.ParseKey(l.Start); err != nil {
		return l, err
	}
	if l.keys.End, err = span.ParseKey(l.End); err != nil {
		return l, err
	}
	switch l.Event {
	case "open_start", "opened", "renewed", "close_start", "closed", "aborted", "fenced":
		return l, nil
	}
	return l, fmt.Errorf("unknown event %q", l.Event)
}

// ends says that nothing is owned after the line.
func (l eventLine) ends() bool {
	return l.Event == "closed" || l.Event == "aborted" || l.Event == "fenced"
}

// opening names one opening of a span by one process: no token is used twice.
type opening struct {
	node           string
	pid            int
	keyspace, span string
	token          uint64
}

func (l eventLine) opening() opening { return opening{l.Node, l.PID, l.Keyspace, l.Span, l.Token} }

// tenure is the time during which one opening owned its range: from its first line up to, not including, end.
type tenure struct {
	first, last eventLine
	from, end   int64
}

func (t tenure) compare(o tenure) int {
	return cmp.Or(cmp.Compare(t.from, o.from), cmp.Compare(t.first.Token, o.first.Token), cmp.Compare(t.first.text, o.first.text))
}

// tenures works out from all lines who owned what and when, in the order of openings, and which lines came too late.
func (ev *Events) tenures() (ts []tenure, late []EventViolation) {
	byOpening := map[opening][]eventLine{}
	for _, l := range ev.lines {
		if l.Event != "open_start" {
			byOpening[l.opening()] = append(byOpening[l.opening()], l)
		}
	}
	for _, lines := range byOpening {
		slices.SortStableFunc(lines, func(a, b eventLine) int { return cmp.Compare(a.At, b.At) })
		t, wrong := ev.tenure(lines)
		late = append(late, wrong...)
		if t.from < t.end {
			ts = append(ts, t)
		}
	}
	sortTenures(ts)
	return ts, late
}

func sortTenures(ts []tenure) { slices.SortFunc(ts, tenure.compare) }

// tenure of one opening, whose lines are given in order. A log may begin after the "opened" of a span: then what is
// known to be owned begins with its first line.
func (ev *Events) tenure(lines []eventLine) (tenure, []EventViolation) {
	var late []EventViolation
	t := tenure{first: lines[0], from: lines[0].At}
	over := false
	for _, l := range lines {
		switch {
		case over && !l.ends() && l.Event != "close_start" && l.Until > l.At:
			late = append(late, EventViolation{
				Name: ActsAfterEnd, Keyspace: l.Keyspace, Range: l.keys, First: t.last.text, Second: l.text,
				Message: fmt.Sprintf("process %d says that it may act on span %s after it said that it is over", l.PID, l.Span),
			})
		case over:
		case l.ends():
			over = true
			t.last, t.end = l, min(l.At, l.Until)
		default:
			t.last, t.end = l, l.Until
		}
	}
	if died, ok := ev.Deaths[t.first.PID]; ok {
		t.end = min(t.end, died)
	}
	return t, late
}
