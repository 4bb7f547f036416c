package mirror

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

// layout spells the mirror's own keys at a destination:
//
//	/spanward-mirror/<cluster>/<keyspace>/fence/<id>   a segment: its range, token and parts
//	/spanward-mirror/<cluster>/<keyspace>/at/<id>      its At, a decimal number, written with every change of data
type layout struct{ prefix string }

func newLayout(cluster, keyspace string) layout {
	return layout{ownPrefix + cluster + "/" + keyspace + "/"}
}

func (l layout) fence(id string) string { return l.prefix + "fence/" + id }
func (l layout) at(id string) string    { return l.prefix + "at/" + id }

// parse is the inverse of fence and at.
func (l layout) parse(key string) (kind, id string, ok bool) {
	rest, ok := strings.CutPrefix(key, l.prefix)
	if !ok {
		return "", "", false
	}
	kind, id, ok = strings.Cut(rest, "/")
	return kind, id, ok && id != "" && !strings.Contains(id, "/")
}

// wireSegment is a segment as it is stored. Keys are escaped, so that a person can read it.
type wireSegment struct {
	Token  uint64     `json:"token"`
	Start  string     `json:"start"`
	End    string     `json:"end"`
	Parts  []wirePart `json:"parts"`
	At     int64      `json:"at,omitempty"` // in files only
	Sealed uint64     `json:"sealed,omitempty"`
	Vacant bool       `json:"vacant,omitempty"`
	Strip  string     `json:"source_prefix"`
	Prefix string     `json:"dest_prefix"`
	Source string     `json:"source"`
	Leased bool       `json:"leased,omitempty"`
	Span   string     `json:"span"`
	Node   string     `json:"node"`
}

type wirePart struct {
	Start string `json:"start"`
	End   string `json:"end"`
	Rev   int64  `json:"rev"`
}

func (s segment) wire() wireSegment {
	w := wireSegment{
		Token: s.Token, Start: span.EscapeKey(s.Range.Start), End: span.EscapeKey(s.Range.End), Parts: []wirePart{},
		Strip: span.EscapeKey(s.Mapping.strip), Prefix: span.EscapeKey(s.Mapping.prepend),
		Sealed: s.Sealed, Vacant: s.Vacant, Source: strconv.FormatUint(s.Source, 16), Leased: s.Leased, Span: s.Span, Node: s.Node,
	}
	for _, p := range s.Parts {
		w.Parts = append(w.Parts, wirePart{span.EscapeKey(p.Range.Start), span.EscapeKey(p.Range.End), p.Rev})
	}
	return w
}

func (w wireSegment) segment(id string) (segment, error) {
	s := segment{ID: id, Token: w.Token, At: w.At, Sealed: w.Sealed, Vacant: w.Vacant, Leased: w.Leased, Span: w.Span, Node: w.Node}
	var err error
	if s.Range, err = parseBounds(w.Start, w.End); err != nil {
		return s, err
	}
	if s.Mapping.strip, err = span.ParseKey(w.Strip); err != nil {
		return s, err
	}
	if s.Mapping.prepend, err = span.ParseKey(w.Prefix); err != nil {
		return s, err
	}
	if s.Source, err = strconv.ParseUint(w.Source, 16, 64); err != nil {
		return s, fmt.Errorf("source: %w", err)
	}
	for _, p := range w.Parts {
		r, err := parseBounds(p.Start, p.End)
		if err != nil {
			return s, err
		}
		s.Parts = append(s.Parts, part{r, p.Rev})
	}
	return s, nil
}

func parseBounds(start, end string) (r span.Range, err error) {
	if r.Start, err = span.ParseKey(start); err != nil {
		return r, err
	}
	if r.End, err = span.ParseKey(end); err != nil {
		return r, err
	}
	return r, r.Validate()
}

// encode gives the stored form of a segment without At, which has its own key.
func (s segment) encode() (string, error) {
	b, err := json.Marshal(s.wire())
	return string(b), err
}

func decodeSegment(id string, value []byte) (segment, error) {
	var w wireSegment
	if err := json.Unmarshal(value, &w); err != nil {
		return segment{}, err
	}
	return w.segment(id)
}

// A found segment is one with the revisions at which its two keys were read, for compares.
type found struct {
	segment
	fenceRev, atRev int64
}

// decodeAll reads a listing of everything under the layout's prefix. One broken record makes the destination
// unusable for every range, since nobody knows which keys it fences: better to say so than to guess.
func (l layout) decodeAll(kvs []*mvccpb.KeyValue) ([]found, error) {
	ats := make(map[string]*mvccpb.KeyValue)
	var out []found
	for _, kv := range kvs {
		if kind, id, ok := l.parse(string(kv.Key)); ok && kind == "at" {
			ats[id] = kv
		}
	}
	for _, kv := range kvs {
		kind, id, ok := l.parse(string(kv.Key))
		if !ok || kind != "fence" {
			continue
		}
		s, err := decodeSegment(id, kv.Value)
		if err != nil {
			return nil, broken(string(kv.Key), err)
		}
		f := found{segment: s, fenceRev: kv.ModRevision}
		if at := ats[id]; at != nil {
			if f.At, err = decodeAt(string(at.Key), []*mvccpb.KeyValue{at}); err != nil {
				return nil, err
			}
			f.atRev = at.ModRevision
		}
		out = append(out, f)
	}
	return out, nil
}

// decodeAt reads a position from what a get of its key found; 0 if it was never written.
func decodeAt(key string, kvs []*mvccpb.KeyValue) (int64, error) {
	if len(kvs) == 0 {
		return 0, nil
	}
	at, err := strconv.ParseInt(string(kvs[0].Value), 10, 64)
	if err != nil {
		return 0, broken(key, err)
	}
	return at, nil
}

func broken(key string, err error) error {
	return fault.New(fault.Refused, "a record of the mirror at the destination cannot be read: %v", err).On("dest", span.EscapeKey(key)).
		Fix("delete the key if nothing runs on its range; the range is then copied again").Because(err)
}
