package mirror

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

// Report is the result of a comparison, as the contract prints it.
type Report struct {
	Equal     bool      `json:"equal"`
	Compared  int64     `json:"compared"` // keys at the source
	Missing   int64     `json:"missing"`  // at the destination
	Extra     int64     `json:"extra"`    // at the destination
	Different int64     `json:"different"`
	Examples  []Example `json:"examples"`
}

// Example is one key at which the two sides disagree. Keys are escaped.
type Example struct {
	Kind       string `json:"kind"` // missing, extra or different
	Key        string `json:"key"`  // at the source
	DestKey    string `json:"dest_key"`
	Span       string `json:"span"` // its range
	SourceRev  int64  `json:"source_revision"`
	DestRev    int64  `json:"dest_revision"`
	ComparedAt int64  `json:"compared_at"` // the source's revision
}

// maxExamples bounds Report.Examples.
const maxExamples = 20

// DiffOptions says what to compare.
type DiffOptions struct {
	Source, Dest      *clientv3.Client
	Cluster, Keyspace string
	Settings          map[string]string
	// Spans are the ranges to compare, in any order. Each is compared by itself, at revisions of its own.
	Spans []span.Range
	// Progress, if set, is told the number of keys compared so far, now and then.
	Progress func(compared int64)
}

const (
	// diffTries bounds how often one range is compared again, because a history was compacted meanwhile or the
	// mirror had not come as far as what the source still has.
	diffTries = 5
	diffPause = 500 * time.Millisecond
)

// Diff compares the destination with the source, span by span: the destination as it is at one revision with the source
// at the position that is stored with that. It holds one page of each side, and needs no pause of the mirror.
//
// If the source no longer has that revision, because its span has been quiet for longer than the source keeps history,
// it is compared as it is now, and again if the mirror may merely have been on its way.
func Diff(ctx context.Context, o DiffOptions) (Report, error) {
	s, err := parse(o.Settings, Auth{}, Auth{})
	if err != nil {
		return Report{}, err
	}
	if s.dir != "" {
		return Report{}, fault.New(fault.InvalidArgument, "a destination of files cannot be compared").On("dest", o.Settings["dest"]).
			Fix("replay the files into an etcd")
	}
	d := &differ{DiffOptions: o, m: s.mapping, f: fencer{kv: o.Dest, keys: newLayout(o.Cluster, o.Keyspace)}}
	d.report.Examples = []Example{}
	for _, r := range o.Spans {
		if err := d.span(ctx, r); err != nil {
			return d.report, err
		}
	}
	d.progress()
	r := d.report
	r.Equal = r.Missing+r.Extra+r.Different == 0
	return r, nil
}

// DiffSettings compares with clients of its own, made from the settings and these defaults.
func DiffSettings(ctx context.Context, source, dest Auth, o DiffOptions) (Report, error) {
	s, err := parse(o.Settings, source, dest)
	if err != nil {
		return Report{}, err
	}
	if o.Source, err = connect(ctx, s.source); err != nil {
		return Report{}, err
	}
	defer func() { _ = o.Source.Close() }()
	if s.dir == "" {
		if o.Dest, err = connect(ctx, s.dest); err != nil {
			return Report{}, err
		}
		defer func() { _ = o.Dest.Close() }()
	}
	return Diff(ctx, o)
}

type differ struct {
	DiffOptions
	m      mapping
	f      fencer
	report Report
}

// span compares one range, in the parts that are at one revision each.
func (d *differ) span(ctx context.Context, r span.Range) error {
	r, ok := d.m.clip(r)
	if !ok {
		return nil
	}
	for rest := []span.Range{r}; len(rest) > 0; {
		parts, destRev, err := d.stored(ctx, rest[0])
		if err != nil {
			return err
		}
		if err := d.part(ctx, parts[0], destRev); err != nil {
			return err
		}
		rest = append(span.Subtract(rest[0], []span.Range{parts[0].Range}), rest[1:]...)
	}
	return nil
}

// stored gives the parts that the destination has of a range, and the revision at which it had them.
func (d *differ) stored(ctx context.Context, r span.Range) ([]part, int64, error) {
	for try := 0; ; try++ {
		all, rev, err := d.f.list(ctx)
		if err != nil {
			return nil, 0, err
		}
		parts := partsOf(all, r, d.m)
		missing := holes(parts, r)
		if len(missing) == 0 {
			return parts, rev, nil
		}
		if try == diffTries || !sleep(ctx, diffPause) {
			return nil, 0, fault.New(fault.Unavailable, "has not been copied completely").On("range", missing[0].String()).
				Fix("wait until its span runs and reports a checkpoint (`spanward span list`), then compare again")
		}
	}
}

// partsOf collects what all segments with these names of keys say about a range.
func partsOf(all []found, r span.Range, m mapping) []part {
	var parts []part
	for _, s := range all {
		if s.Mapping != m {
			continue
		}
		parts = append(parts, clipParts(s.effective(), r)...)
	}
	return segment{Parts: parts}.effective()
}

// part compares a range whose data at the destination is, at destRev, that of the source at one revision.
func (d *differ) part(ctx context.Context, p part, destRev int64) error {
	sourceRev := p.Rev
	for try := 0; ; try++ {
		found, err := d.compare(ctx, p.Range, sourceRev, destRev)
		switch {
		case err != nil && !isCompacted(err):
			return err
		case err == nil && (found.Equal || sourceRev == p.Rev || try >= diffTries):
			d.add(found)
			return nil
		case try >= diffTries:
			return fault.New(fault.Unavailable, "histories are compacted faster than they can be compared").On("range", p.Range.String()).
				Fix("raise the retention of the auto compaction").Because(err)
		}
		if !sleep(ctx, diffPause) {
			return ctx.Err()
		}
		if sourceRev, destRev, err = d.again(ctx, &p); err != nil {
			return err
		}
	}
}

// again looks for newer revisions to compare. If the mirror has stored none, that is because nothing changed in the
// range: then the newest one is as good.
func (d *differ) again(ctx context.Context, p *part) (sourceRev, destRev int64, err error) {
	parts, destRev, err := d.stored(ctx, p.Range)
	if err != nil {
		return 0, 0, err
	}
	if at := lowest(parts); at == highest(parts) && at > p.Rev {
		p.Rev = at
		return at, destRev, nil
	}
	src := source{c: d.Source}
	sourceRev, _, err = src.head(ctx, p.Range)
	return sourceRev, destRev, err
}

// compare compares a range at two revisions.
func (d *differ) compare(ctx context.Context, r span.Range, sourceRev, destRev int64) (Report, error) {
	var out Report
	want := listing{kv: d.Source, rev: sourceRev, name: d.m.key}
	have := listing{kv: d.Dest, rev: destRev, name: func(key string) (string, bool) {
		_, ok := d.m.back(key)
		return key, ok
	}}
	err := compare(want.items(ctx, r), have.items(ctx, d.m.dest(r)), false, func(item) {
		if out.Compared++; out.Compared%diffReport == 0 && d.Progress != nil {
			d.Progress(d.report.Compared + out.Compared)
		}
	}, func(x difference) error {
		d.count(&out, x, Example{Span: r.String(), ComparedAt: sourceRev})
		return nil
	})
	out.Equal = out.Missing+out.Extra+out.Different == 0
	if err != nil {
		return out, fmt.Errorf("compare %s: %w", r, err)
	}
	return out, nil
}

// diffReport is after how many keys progress is told.
const diffReport = 10000

// count adds a difference to a report.
func (d *differ) count(out *Report, x difference, e Example) {
	switch {
	case x.have == nil:
		out.Missing++
		e.Kind = "missing"
	case x.want == nil:
		out.Extra++
		e.Kind = "extra"
	default:
		out.Different++
		e.Kind = "different"
	}
	if len(out.Examples) >= maxExamples {
		return
	}
	if x.want != nil {
		e.Key, e.DestKey, e.SourceRev = x.want.source, x.want.key, x.want.rev
	}
	if x.have != nil {
		e.DestKey, e.DestRev = x.have.key, x.have.rev
		e.Key, _ = d.m.back(x.have.key)
	}
	e.Key, e.DestKey = span.EscapeKey(e.Key), span.EscapeKey(e.DestKey)
	out.Examples = append(out.Examples, e)
}

// add puts the result of one part into the whole.
func (d *differ) add(r Report) {
	d.report.Compared += r.Compared
	d.report.Missing += r.Missing
	d.report.Extra += r.Extra
	d.report.Different += r.Different
	room := maxExamples - len(d.report.Examples)
	d.report.Examples = append(d.report.Examples, r.Examples[:min(room, len(r.Examples))]...)
}

func (d *differ) progress() {
	if d.Progress != nil {
		d.Progress(d.report.Compared)
	}
}
