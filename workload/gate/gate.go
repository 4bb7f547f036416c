package gate

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/spanward/spanward/dispatcher"
	"github.com/spanward/spanward/span"
)

// Names of the files, before the dot and the span.
const (
	holdOpenFile   = "hold-open"
	holdCloseFile  = "hold-close"
	checkpointFile = "checkpoint"
	loadFile       = "load"
	sizeFile       = "size"
	splitKeysFile  = "split-keys"
)

// Config says where the files are and how often to look.
type Config struct {
	// Dir is created if it is missing. Empty means that nothing is ever held or reported.
	Dir string
	// HoldPoll is how often holds are looked at while something waits. Zero means 10 ms; the contract allows 20.
	HoldPoll time.Duration
	// StatusPoll is how often what instances report is looked at. Zero means 100 ms.
	StatusPoll time.Duration
	// Log gets a warning when the directory cannot be read. Nil means no log.
	Log *zap.Logger
}

func (c Config) withDefaults() Config {
	if c.HoldPoll == 0 {
		c.HoldPoll = 10 * time.Millisecond
	}
	if c.StatusPoll == 0 {
		c.StatusPoll = 100 * time.Millisecond
	}
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	return c
}

// Gate is the workload.
type Gate struct {
	cfg Config
	log *zap.Logger
	// wake is filled when there is something to poll after a time without.
	wake chan struct{}

	mu        sync.Mutex
	waiters   map[*waiter]struct{}
	instances map[*instance]struct{}

	// unreadable is the poller's own: it keeps one trouble from filling the log.
	unreadable bool
}

// New creates the directory, and starts nothing.
func New(cfg Config) (*Gate, error) {
	cfg = cfg.withDefaults()
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("gate directory: %w", err)
		}
	}
	return &Gate{
		cfg: cfg, log: cfg.Log.Named("gate"), wake: make(chan struct{}, 1),
		waiters: map[*waiter]struct{}{}, instances: map[*instance]struct{}{},
	}, nil
}

// EventsPath is the file that events of gate spans are written to.
func EventsPath(dir string) string { return filepath.Join(dir, "events.log") }

// Open waits for the gate.
func (g *Gate) Open(ctx context.Context, t dispatcher.Task, r dispatcher.Reporter) (dispatcher.Instance, error) {
	if err := g.pass(ctx, holdOpenFile, t.Span); err != nil {
		return nil, err
	}
	i := newInstance(g, t, r)
	i.look(g.newListing())
	g.change(func() { g.instances[i] = struct{}{} })
	return i, nil
}

// instance is one open span.
type instance struct {
	gate     *Gate
	task     dispatcher.Task
	reporter dispatcher.Reporter
	// checkpoint, load, size and splitKeys are the files that decide what is reported.
	checkpoint, load, size, splitKeys [2]string

	mu   sync.Mutex
	last *seen
}

func newInstance(g *Gate, t dispatcher.Task, r dispatcher.Reporter) *instance {
	i := &instance{
		gate: g, task: t, reporter: r,
		checkpoint: names(checkpointFile, t.Span), load: names(loadFile, t.Span), size: names(sizeFile, t.Span),
		splitKeys: names(splitKeysFile, t.Span),
	}
	i.splitKeys[1] = i.splitKeys[0] // what is proposed for one span makes no sense for another
	return i
}

// Close waits for the gate; the final position is the one at that moment.
func (i *instance) Close(ctx context.Context) (dispatcher.Position, error) {
	if err := i.gate.pass(ctx, holdCloseFile, i.task.Span); err != nil {
		return dispatcher.Position{}, err
	}
	i.Abort()
	i.mu.Lock()
	defer i.mu.Unlock()
	s := i.read(i.gate.newListing())
	return s.status.Checkpoint, nil
}

// Abort takes no gate into account.
func (i *instance) Abort() {
	i.gate.change(func() { delete(i.gate.instances, i) })
}

// change alters what there is to poll, and tells the poller.
func (g *Gate) change(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	f()
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// names of the files that may decide about a span, the one that goes first in front.
func names(file string, id span.ID) [2]string { return [2]string{file + "." + string(id), file} }
