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

// fileSegment is a stored segment and the file of its data, "" for none. The lines from Base on are newer than what is
// stored: their last revision is a position that all parts have been brought to. If there is a Copy, they are that.
type fileSegment struct {
	wireSegment
	File string    `json:"file"`
	Base int64     `json:"base,omitempty"`
	Copy *wirePart `json:"copy,omitempty"`
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
func (f fileFence) takeOver(own segment, file string, whose trust) (_ segment, before bool, err error) {
	all, err := f.read()
	if err != nil {
		return own, false, err
	}
	taken, err := f.overlapping(all, own, whose)
	if err != nil {
		return own, false, err
	}
	own, left := absorb(own, taken, whose)
	for _, s := range taken {
		delete(all, s.ID)
	}
	for i, s := range left {
		all[fmt.Sprintf("%s-%s-%d", s.ID[:idBytes], own.ID, i+1)] = fileSegment{wireSegment: s.wire()} // its file is over
	}
	all[own.ID], err = f.stored(own, file)
	if err != nil {
		return own, false, err
	}
	return own, len(taken) > 0, f.replace(all)
}

// overlapping reads the segments to take over, with the positions that their files have come to.
func (f fileFence) overlapping(all map[string]fileSegment, own segment, whose trust) (taken []segment, err error) {
	for id, w := range all {
		s, err := w.segment(id)
		if err != nil {
			return nil, broken(f.path(), err)
		}
		if !s.Range.Overlaps(own.Range) {
			continue
		}
		if s.Token > own.Token {
			return nil, ahead(s, own.Token)
		}
		if whose.in(s) && len(s.Parts) > 0 && s.Source != own.Source {
			return nil, otherSource("the files are of etcd cluster %x, and the source is cluster %x", s.Source, own.Source)
		}
		if s, err = f.mend(w, s); err != nil {
			return nil, err
		}
		taken = append(taken, s)
	}
	slices.SortFunc(taken, func(a, b segment) int { return a.Range.Compare(b.Range) })
	return taken, nil
}

// mend cuts off what follows the last complete transaction of a segment's file, and brings the segment to where the
// lines are.
func (f fileFence) mend(w fileSegment, s segment) (segment, error) {
	if w.File == "" {
		return s, nil
	}
	file, err := os.OpenFile(filepath.Join(f.dir, w.File), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	defer func() { _ = file.Close() }()
	rev, end, err := lastEnd(file)
	if err != nil {
		return s, err
	}
	if end > w.Base {
		if s, err = w.counted(s, rev); err != nil {
			return s, broken(f.path(), err)
		}
	}
	return s, file.Truncate(end)
}

// counted brings the segment to rev, that of its last line.
func (w fileSegment) counted(s segment, rev int64) (segment, error) {
	if w.Copy == nil {
		s.At = max(s.At, rev)
		return s, nil
	}
	r, err := parseBounds(w.Copy.Start, w.Copy.End)
	if err == nil {
		s.Parts = with(s.effective(), r, w.Copy.Rev)
	}
	return s, err
}

// stored is a segment with everything counted that its file has now, which must be complete.
func (f fileFence) stored(s segment, name string) (fileSegment, error) {
	w := fileSegment{wireSegment: s.wire(), File: name}
	w.At = s.At
	info, err := os.Stat(filepath.Join(f.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return w, nil
	}
	if err == nil {
		w.Base = info.Size()
	}
	return w, err
}
