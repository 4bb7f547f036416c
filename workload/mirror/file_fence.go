package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// A fileFence is what fences a directory: a file with all segments of a keyspace, replaced as a whole by a rename, and
// a lock. Whoever takes over holds the lock alone; whoever writes data shares it and looks first whether its segment is
// still there. The lock ends with its process; a process that was stopped within a write keeps others waiting until
// it goes on or is killed.
type fileFence struct {
	dir, name string
}

// fileSegment is a stored segment and the file of its data.
type fileSegment struct {
	wireSegment
	File string `json:"file"`
}

func (f fileFence) path() string     { return filepath.Join(f.dir, ".fence."+f.name+".json") }
func (f fileFence) lockPath() string { return filepath.Join(f.dir, ".lock."+f.name) }

// lockPause is how often a lock that is taken is tried again.
const lockPause = 5 * time.Millisecond

// lock takes the lock, alone or shared, and returns what gives it back.
func (f fileFence) lock(ctx context.Context, alone bool) (func(), error) {
	file, err := os.OpenFile(f.lockPath(), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_SH
	if alone {
		how = syscall.LOCK_EX
	}
	for {
		err := syscall.Flock(int(file.Fd()), how|syscall.LOCK_NB) //nolint:gosec // a descriptor is small
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || !sleep(ctx, lockPause) {
			_ = file.Close()
			return nil, fmt.Errorf("lock %s: %w", f.lockPath(), errors.Join(err, ctx.Err()))
		}
	}
}

// read gives all segments by id.
func (f fileFence) read() (map[string]fileSegment, error) {
	b, err := os.ReadFile(f.path())
	if errors.Is(err, fs.ErrNotExist) {
		return map[string]fileSegment{}, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]fileSegment{}
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, broken(f.path(), err)
	}
	return out, nil
}

// replace stores all segments. The caller holds the lock alone.
func (f fileFence) replace(all map[string]fileSegment) error {
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	tmp := f.path() + ".new"
	if err := writeSynced(tmp, b); err != nil {
		return err
	}
	if err := os.Rename(tmp, f.path()); err != nil {
		return err
	}
	return syncDir(f.dir)
}

func writeSynced(name string, b []byte) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	return errors.Join(err, file.Sync(), file.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// takeOver puts own in the place of what overlaps it, as fencer.open does at an etcd.
func (f fileFence) takeOver(own segment, file string, resume bool) (_ segment, before bool, err error) {
	all, err := f.read()
	if err != nil {
		return own, false, err
	}
	taken, files, err := f.overlapping(all, own, resume)
	if err != nil {
		return own, false, err
	}
	own, left := absorb(own, taken)
	if !resume || len(holes(own.Parts, own.Range)) > 0 {
		own.Parts = nil // a file tells of one position: it is all or nothing
	}
	for _, s := range taken {
		delete(all, s.ID)
	}
	for i, s := range left {
		all[fmt.Sprintf("%s-%s-%d", s.ID[:idBytes], own.ID, i+1)] = fileSegment{s.wire(), files[s.ID]}
	}
	all[own.ID] = fileSegment{own.wire(), file}
	return own, len(taken) > 0, f.replace(all)
}

// overlapping reads the segments to take over, with the positions that their files have come to.
func (f fileFence) overlapping(all map[string]fileSegment, own segment, resume bool) (taken []segment, files map[string]string, err error) {
	files = map[string]string{}
	for id, w := range all {
		s, err := w.segment(id)
		if err != nil {
			return nil, nil, broken(f.path(), err)
		}
		if !s.Range.Overlaps(own.Range) {
			continue
		}
		if s.Token > own.Token {
			return nil, nil, ahead(s, own.Token)
		}
		if resume && len(s.Parts) > 0 && s.Source != own.Source {
			return nil, nil, otherSource("the files are of etcd cluster %x, and the source is cluster %x", s.Source, own.Source)
		}
		at, err := f.mend(w.File)
		if err != nil {
			return nil, nil, err
		}
		s.At = max(s.At, at)
		taken, files[id] = append(taken, s), w.File
	}
	slices.SortFunc(taken, func(a, b segment) int { return a.Range.Compare(b.Range) })
	return taken, files, nil
}

// mend cuts off what follows the last complete transaction of a file and gives the revision of that. A remainder has
// no file of its own any more: its position is in the segment.
func (f fileFence) mend(name string) (int64, error) {
	file, err := os.OpenFile(filepath.Join(f.dir, name), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	rev, end, err := lastEnd(file)
	if err == nil {
		err = file.Truncate(end)
	}
	return rev, errors.Join(err, file.Close())
}
