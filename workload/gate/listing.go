package gate

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
)

// listing is the directory at one moment. Files are read when they are asked for, each at most once, so that a file that
// concerns ten thousand spans costs one read.
type listing struct {
	gate *Gate
	// names is nil if the directory was not listed; then every name is tried.
	names map[string]struct{}
	texts map[string]file
}

type file struct {
	text   string
	exists bool
}

// newListing looks at single files, which is the cheap way for one span.
func (g *Gate) newListing() *listing {
	l := &listing{gate: g, texts: map[string]file{}}
	if g.cfg.Dir == "" {
		l.names = map[string]struct{}{}
	}
	return l
}

// list looks at the directory as a whole, which is the cheap way for many spans.
func (g *Gate) list() *listing {
	l := g.newListing()
	if g.cfg.Dir == "" {
		return l
	}
	names, err := readNames(g.cfg.Dir)
	if err != nil && !g.unreadable {
		g.log.Warn("gate directory cannot be read, everything that waits goes on waiting", zap.Error(err))
	}
	if g.unreadable = err != nil; g.unreadable {
		return l
	}
	l.names = make(map[string]struct{}, len(names))
	for _, name := range names {
		l.names[name] = struct{}{}
	}
	return l
}

// readNames gives the names in a directory; one that is gone holds nothing.
func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// first is the first of the files that exists.
func (l *listing) first(names [2]string) file {
	if f := l.file(names[0]); f.exists {
		return f
	}
	return l.file(names[1])
}

// file gives the trimmed content. A file that cannot be read counts as empty: a hold that cannot be read holds.
func (l *listing) file(name string) file {
	if l.names != nil {
		if _, ok := l.names[name]; !ok {
			return file{}
		}
	}
	f, ok := l.texts[name]
	if !ok {
		raw, err := os.ReadFile(filepath.Join(l.gate.cfg.Dir, name))
		f = file{text: strings.TrimSpace(string(raw)), exists: !errors.Is(err, fs.ErrNotExist)}
		l.texts[name] = f
	}
	return f
}
