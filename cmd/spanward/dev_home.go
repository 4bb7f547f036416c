package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/spanward/spanward/internal/fault"
)

// devHome is the directory of a dev cluster, locked by the one that uses it.
type devHome struct {
	dir  string
	lock *os.File
}

// devJSON is what DIR/dev.json says.
type devJSON struct {
	Etcd        string  `json:"etcd"`
	Source      string  `json:"source"`
	Dest        string  `json:"dest"`
	PID         int     `json:"pid"`
	Maintainers []ready `json:"maintainers"`
	Dispatchers []ready `json:"dispatchers"`
	Etcds       []ready `json:"etcds"`
}

const (
	devFile       = "dev.json"
	devLock       = "lock"
	devAddresses  = "addresses.json"
	devDirMode    = 0o755
	devSecretMode = 0o600
)

func openDevHome(dir string) (*devHome, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	unusable := func(err error) error {
		return fault.New(fault.InvalidArgument, "cannot be used: %s", err).On("--dir", dir).Fix("name a directory that can be written").Because(err)
	}
	if err := os.MkdirAll(dir, devDirMode); err != nil {
		return nil, unusable(err)
	}
	lock, err := os.OpenFile(filepath.Join(dir, devLock), os.O_CREATE|os.O_RDWR, devSecretMode)
	if err != nil {
		return nil, unusable(err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(lock.Name())
		_ = lock.Close()
		return nil, fault.New(fault.Refused, "is used by another `spanward dev`, pid %s", strings.TrimSpace(string(holder))).
			On("--dir", dir).Fix("stop that one, or name another directory")
	}
	_ = lock.Truncate(0)
	_, err = fmt.Fprintln(lock, os.Getpid())
	// Who waits for the file must not find that of the last time.
	gone := os.Remove(filepath.Join(dir, devFile))
	if err != nil || gone != nil && !errors.Is(gone, os.ErrNotExist) {
		_ = lock.Close()
		return nil, unusable(errors.Join(err, gone))
	}
	return &devHome{dir: dir, lock: lock}, nil
}

func (h *devHome) path(name string) string { return filepath.Join(h.dir, name) }

// close gives the directory up. What dev.json says is not true any more.
func (h *devHome) close() {
	_ = os.Remove(h.path(devFile))
	_ = h.lock.Close()
}

func (h *devHome) write(j devJSON) error {
	raw, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(h.path(devFile), append(raw, '\n'))
}

// addresses gives each name an address that is free, the same as the last time if that can be: settings in etcd, and the
// user's shell, remember them.
func (h *devHome) addresses(names ...string) (map[string]string, error) {
	known := map[string]string{}
	if raw, err := os.ReadFile(h.path(devAddresses)); err == nil {
		_ = json.Unmarshal(raw, &known) // nothing that could be read: new addresses
	}
	out := map[string]string{}
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, name := range names {
		l, err := net.Listen("tcp", known[name])
		if known[name] == "" || err != nil {
			if err == nil {
				_ = l.Close() // an empty address is every interface
			}
			if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return nil, fmt.Errorf("no free port: %w", err)
			}
		}
		held = append(held, l)
		out[name] = l.Addr().String()
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, err
	}
	return out, writeFile(h.path(devAddresses), raw)
}
