package gate

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/internal/record"
	"github.com/spanward/spanward/span"
)

// seen is what the files say about a span. raw is enough to know whether they say the same as before.
type seen struct {
	raw    [4]file
	status dispatcher.Status
}

// look reports what the files say now, if it is something new.
func (i *instance) look(l *listing) {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.read(l)
	if i.last != nil && i.last.raw == s.raw {
		return
	}
	i.last = s
	i.reporter.Report(s.status)
}

// read interprets the files of the span, unless they are what they were.
func (i *instance) read(l *listing) *seen {
	raw := [4]file{l.first(i.checkpoint), l.first(i.load), l.first(i.size), l.first(i.splitKeys)}
	if i.last != nil && i.last.raw == raw {
		return i.last
	}
	s := &seen{raw: raw, status: dispatcher.Status{Checkpoint: i.position(raw[0])}}
	s.set(raw[0], checkpointFile, setCheckpoint)
	s.set(raw[1], loadFile, setLoad)
	s.set(raw[2], sizeFile, setSize)
	s.set(raw[3], splitKeysFile, setSplitKeys)
	return s
}

// position is what counts as long as the file, if there is one, does not say a number.
func (i *instance) position(f file) dispatcher.Position {
	if f.exists && i.last != nil {
		return i.last.status.Checkpoint
	}
	return i.task.From
}

// set takes one file over. An empty one is about to be written: it says nothing yet.
func (s *seen) set(f file, name string, parse func(*dispatcher.Status, string) error) {
	if f.text == "" {
		return
	}
	if err := parse(&s.status, f.text); err != nil && s.status.Error == "" {
		s.status.Error = fmt.Sprintf("gate file %s: %v", name, err)
	}
}

func setCheckpoint(s *dispatcher.Status, text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return err
	}
	s.Checkpoint = record.At(n)
	return nil
}

func setLoad(s *dispatcher.Status, text string) error {
	x, err := measure(text)
	s.Load = x
	return err
}

func setSize(s *dispatcher.Status, text string) error {
	x, err := measure(text)
	s.Size = x
	return err
}

// measure is a number that can be added up and compared.
func measure(text string) (*float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, err
	}
	if !(x >= 0) || math.IsInf(x, 1) {
		return nil, fmt.Errorf("%s is not a number from zero up", text)
	}
	return &x, nil
}

func setSplitKeys(s *dispatcher.Status, text string) error {
	var keys []string
	for line := range strings.Lines(text) {
		key, err := span.ParseKey(strings.TrimRight(line, "\r\n"))
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	s.SplitKeys = keys
	return nil
}
