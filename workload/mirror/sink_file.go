package mirror

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spanward/spanward/span"
)

// Limits of one write to a file, each of which is synced.
const (
	fileOps   = 8192
	fileBytes = 4 << 20
)

type fileConfig struct {
	dir, name string
	own       segment
	trust     trust
	m         mapping
}

// fileSink appends to DIR/<span>-<token>.jsonl. Its position is the last complete transaction in the file, or what the
// segment says if that is later. A copy is no position of the range's other pieces: it is announced in the segment before
// its first line, and counted there after its last.
type fileSink struct {
	fence  fileFence
	m      mapping
	seg    segment
	name   string
	file   *os.File
	before bool        // lines of the range may have been written before
	seen   os.FileInfo // of the fence when it was last read
}

// openFile takes over the range in a directory. The lock is held until the new segment and file are there.
func openFile(ctx context.Context, c fileConfig) (sink, error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, invalid("dest", "file:"+c.dir, "cannot be used: %v", err).Fix("choose a directory that every node can write to").Because(err)
	}
	s := &fileSink{
		fence: fileFence{dir: c.dir, name: c.name}, m: c.m,
		name: fmt.Sprintf("%s-%d.jsonl", c.own.Span, c.own.Token),
	}
	unlock, err := s.fence.lock(ctx, true)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if s.seg, s.before, err = s.fence.takeOver(c.own, s.name, c.trust); err != nil {
		return nil, err
	}
	s.file, err = os.OpenFile(filepath.Join(c.dir, s.name), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syncDir(c.dir); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	return s, nil
}

func (s *fileSink) state() segment           { return s.seg }
func (s *fileSink) limits() (ops, bytes int) { return fileOps, fileBytes }
func (s *fileSink) close()                   { _ = s.file.Close() }

// guarded runs f while nobody can take over, if nobody has.
func (s *fileSink) guarded(ctx context.Context, alone bool, f func() error) error {
	unlock, err := s.fence.lock(ctx, alone)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.owned(); err != nil {
		return err
	}
	return f()
}

// owned reads the fence if it was replaced since the last time.
func (s *fileSink) owned() error {
	info, err := os.Stat(s.fence.path())
	if err != nil {
		return err
	}
	if s.seen != nil && os.SameFile(s.seen, info) && s.seen.ModTime().Equal(info.ModTime()) && s.seen.Size() == info.Size() {
		return nil
	}
	all, err := s.fence.read()
	if err != nil {
		return err
	}
	if _, ok := all[s.seg.ID]; !ok {
		return errFenced
	}
	s.seen = info
	return nil
}

func (s *fileSink) apply(ctx context.Context, gs []group) error {
	var b bytes.Buffer
	for _, g := range gs {
		if err := encodeGroup(&b, g, s.m); err != nil {
			return err
		}
	}
	err := s.guarded(ctx, false, func() error {
		_, err := s.file.Write(b.Bytes())
		return errors.Join(err, s.file.Sync())
	})
	if err == nil {
		s.seg.At = gs[len(gs)-1].rev
	}
	return err
}

// settle cuts off what was not completed.
func (s *fileSink) settle(ctx context.Context) error {
	return s.guarded(ctx, true, func() error {
		all, err := s.fence.read()
		if err != nil {
			return err
		}
		w := all[s.seg.ID]
		seg, err := w.segment(s.seg.ID)
		if err != nil {
			return broken(s.fence.path(), err)
		}
		if seg, err = s.fence.mend(w, seg); err != nil {
			return err
		}
		if err := s.file.Sync(); err != nil {
			return err
		}
		if s.seg = seg; w.Copy == nil {
			return nil
		}
		return s.replace(all, seg, nil)
	})
}

func (s *fileSink) move(ctx context.Context, at int64) error {
	return s.rewrite(ctx, func(w *segment) { w.At = at }, nil)
}

func (s *fileSink) store(ctx context.Context, parts []part, _ bool) error {
	return s.rewrite(ctx, func(w *segment) { w.Parts = parts }, nil)
}

// rewrite changes the stored segment, and says whether a copy follows.
func (s *fileSink) rewrite(ctx context.Context, change func(*segment), copied *wirePart) error {
	return s.guarded(ctx, true, func() error {
		all, err := s.fence.read()
		if err != nil {
			return err
		}
		next := s.seg
		change(&next)
		return s.replace(all, next, copied)
	})
}

// replace stores the segment, with everything counted that is in the file. The caller holds the lock alone.
func (s *fileSink) replace(all map[string]fileSegment, next segment, copied *wirePart) error {
	w, err := s.fence.stored(next, s.name)
	if err != nil {
		return err
	}
	w.Copy = copied
	all[s.seg.ID] = w
	if err := s.fence.replace(all); err != nil {
		return err
	}
	s.seg = next
	return nil
}

// copy writes everything as one transaction: it is complete with the line that has txn_end, or it is cut off.
func (s *fileSink) copy(ctx context.Context, r span.Range, src listing, seen func(item)) error {
	announced := wirePart{span.EscapeKey(r.Start), span.EscapeKey(r.End), src.rev}
	if err := s.rewrite(ctx, func(*segment) {}, &announced); err != nil {
		return err
	}
	c := &fileCopy{sink: s, rev: src.rev}
	if s.before {
		if err := c.add(line{Op: opReset, Key: []byte(s.m.dest(r).Start), Value: []byte(s.m.dest(r).End)}); err != nil {
			return err
		}
	}
	s.before = true
	for it, err := range src.items(ctx, r) {
		if err != nil {
			return err
		}
		if err := c.add(line{Op: opPut, Key: []byte(it.key), Value: append([]byte{}, it.value...)}); err != nil {
			return err
		}
		if seen(it); c.b.Len() > fileBytes {
			if err := c.flush(ctx); err != nil {
				return err
			}
		}
	}
	return c.end(ctx)
}

// fileCopy keeps the newest line back, since the last one is special.
type fileCopy struct {
	sink *fileSink
	rev  int64
	last *line
	b    bytes.Buffer
}

func (c *fileCopy) add(l line) error {
	l.Rev = c.rev
	if err := c.encode(); err != nil {
		return err
	}
	c.last = &l
	return nil
}

func (c *fileCopy) encode() error {
	if c.last == nil {
		return nil
	}
	enc := json.NewEncoder(&c.b)
	enc.SetEscapeHTML(false)
	return enc.Encode(c.last)
}

func (c *fileCopy) flush(ctx context.Context) error {
	return c.sink.guarded(ctx, false, func() error {
		w := bufio.NewWriter(c.sink.file)
		_, err := c.b.WriteTo(w)
		return errors.Join(err, w.Flush())
	})
}

func (c *fileCopy) end(ctx context.Context) error {
	if c.last == nil {
		return nil
	}
	c.last.TxnEnd = true
	if err := c.encode(); err != nil {
		return err
	}
	if err := c.flush(ctx); err != nil {
		return err
	}
	return c.sink.file.Sync()
}
