package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/span"
)

// Kind names an event.
type Kind string

// The events of one opening of a span, in their order.
const (
	OpenStart  Kind = "open_start"
	Opened     Kind = "opened"
	Renewed    Kind = "renewed"
	CloseStart Kind = "close_start"
	Closed     Kind = "closed"
	// Aborted ends an opening that failed or an instance that was told to end at once.
	Aborted Kind = "aborted"
	// Fenced says that the right to act is over while the instance runs.
	Fenced Kind = "fenced"
)

// Line is one event as it is written.
type Line struct {
	BoottimeNS int64   `json:"boottime_ns"`
	Node       string  `json:"node"`
	PID        int     `json:"pid"`
	Event      Kind    `json:"event"`
	Keyspace   string  `json:"keyspace"`
	Span       span.ID `json:"span"`
	// Start and End are escaped as everywhere outside.
	Start string `json:"start"`
	End   string `json:"end"`
	Token uint64 `json:"token"`
	// Checkpoint is null while it is unknown.
	Checkpoint            *uint64 `json:"checkpoint"`
	MayActUntilBoottimeNS int64   `json:"may_act_until_boottime_ns"`
}

func lineOf(k Kind, t dispatcher.Task, at dispatcher.Position, now, until time.Duration) Line {
	l := Line{
		BoottimeNS: int64(now), Node: t.Node, PID: os.Getpid(), Event: k,
		Keyspace: t.Keyspace, Span: t.Span, Start: span.EscapeKey(t.Range.Start), End: span.EscapeKey(t.Range.End),
		Token: t.Token, MayActUntilBoottimeNS: int64(until),
	}
	if at.Known {
		l.Checkpoint = &at.At
	}
	return l
}

// write sends the line in one piece, which is what makes O_APPEND files safe to share.
func (l Line) write(w io.Writer) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // people grep for keys
	if err := enc.Encode(l); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// OpenFile opens, or creates, a file that several processes may append events to.
func OpenFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("events file: %w", err)
	}
	return f, nil
}
