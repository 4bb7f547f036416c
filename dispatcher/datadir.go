package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	lockFile = "lock"
	nodeFile = "node.json"
	// lockPoll is how often a lock that somebody holds is tried again.
	lockPoll = 200 * time.Millisecond
)

// dataDir is a locked directory. Whoever holds the lock knows that the process that held it before is dead: the
// kernel keeps a lock as long as the process, however it is stopped. A nil dataDir is none.
type dataDir struct {
	path string
	lock *os.File
}

// owned is what the holder of the lock writes down about its session.
type owned struct {
	Cluster  string `json:"cluster"`
	Name     string `json:"name"`
	Instance string `json:"instance"`
	Session  int64  `json:"session"`
	Lease    int64  `json:"lease"`
}

// openDataDir waits for the lock. Without a path there is nothing to lock.
func openDataDir(ctx context.Context, path string, log *zap.Logger) (*dataDir, error) {
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(path, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	d := &dataDir{path: path, lock: f}
	if err := d.acquire(ctx, log); err != nil {
		f.Close()
		return nil, err
	}
	return d, nil
}

func (d *dataDir) acquire(ctx context.Context, log *zap.Logger) error {
	for said := false; ; {
		err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return d.sign()
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", d.lock.Name(), err)
		}
		if !said {
			log.Warn("data directory is locked by a live process, waiting", zap.String("lock", d.lock.Name()), zap.String("pid", d.holder()))
			said = true
		}
		if err := pause(ctx, lockPoll); err != nil {
			return err
		}
	}
}

// sign leaves the pid for whoever waits.
func (d *dataDir) sign() error {
	if err := d.lock.Truncate(0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	if _, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0); err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

func (d *dataDir) holder() string {
	b, err := os.ReadFile(d.lock.Name())
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func (d *dataDir) close() {
	if d != nil {
		d.lock.Close() // gives the lock up
	}
}

// last is what the former holder has written; the zero value if nothing is readable.
func (d *dataDir) last() (o owned) {
	if d == nil {
		return owned{}
	}
	b, err := os.ReadFile(filepath.Join(d.path, nodeFile))
	if err != nil || json.Unmarshal(b, &o) != nil {
		return owned{}
	}
	return o
}

// write replaces the file in one step, and only once its content is on the disk.
func (d *dataDir) write(o owned) error {
	b, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("node file: %w", err)
	}
	f, err := os.CreateTemp(d.path, nodeFile+".*")
	if err != nil {
		return fmt.Errorf("node file: %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), filepath.Join(d.path, nodeFile))
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("node file: %w", err)
	}
	return nil
}

// provenDead says whether nothing of a former session runs: it was this process's own, or this process holds the
// lock under which it was made.
func (d *Dispatcher) provenDead(instance string) bool {
	if instance == "" {
		return false
	}
	o := d.dir.last()
	return d.past[instance] || o.Instance == instance && o.Name == d.cfg.Name && o.Cluster == d.cfg.Cluster.ClusterName()
}

// remember lets a successor that gets the lock know whose session it finds.
func (d *Dispatcher) remember(s *session) {
	if d.dir == nil {
		return
	}
	err := d.dir.write(owned{
		Cluster: d.cfg.Cluster.ClusterName(), Name: d.cfg.Name, Instance: s.instance, Session: s.id, Lease: int64(s.lease.ID()),
	})
	if err != nil {
		s.log.Warn("a restart will have to wait for this session to expire", zap.Error(err))
	}
}
