package sim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/spanward/spanward/internal/fault"
)

// reader keeps the first error of a file, so that what reads it need not look after each value.
type reader struct{ err error }

func (r *reader) fail(at, value, format string, args ...any) mistake {
	f := fault.New(fault.InvalidArgument, format, args...).On(at, value)
	if r.err == nil {
		r.err = f
	}
	return mistake{f}
}

// mistake is an error that has been kept.
type mistake struct{ err *fault.Error }

// fix says what to do about it.
func (m mistake) fix(format string, args ...any) { _ = m.err.Fix(format, args...) }

// value is a part of a file, and where it stands.
type value struct {
	*reader
	at  string
	raw any
}

// document reads YAML. Numbers keep the digits that they were written with.
func document(r *reader, text []byte) value {
	asJSON, err := yaml.YAMLToJSONStrict(text)
	v := value{reader: r, at: "file"}
	if err == nil {
		dec := json.NewDecoder(bytes.NewReader(asJSON))
		dec.UseNumber()
		err = dec.Decode(&v.raw)
	}
	if err != nil {
		r.fail("file", "", "is not YAML: %s", innermost(err)).fix("keys stand once, and are indented by blanks")
	}
	return v
}

// innermost is what the parser says, without what calls it.
func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// shown is a value as it stands in the file, if it is short enough for that.
func (v value) shown() string {
	switch raw := v.raw.(type) {
	case nil:
		return ""
	case string:
		return raw
	case json.Number:
		return raw.String()
	case bool:
		return strconv.FormatBool(raw)
	default:
		text, err := json.Marshal(raw)
		if err != nil {
			return fmt.Sprint(raw)
		}
		return string(text)
	}
}

func (v value) is(what, example string) {
	v.fail(v.at, v.shown(), "is not %s", what).fix("write for example %s", example)
}

// fields are those of a mapping.
type fields struct {
	value
	of map[string]any
}

// mapping reads one whose names are known. None at all is empty.
func (v value) mapping(known ...string) fields {
	f := v.anyMapping()
	for _, name := range slices.Sorted(maps.Keys(f.of)) {
		if !slices.Contains(known, name) {
			bad := v.fail(v.path(name), "", "is not a field")
			if near := nearest(name, known); near != "" {
				bad.fix("did you mean %s?", near)
			} else {
				bad.fix("use %s", strings.Join(known, ", "))
			}
		}
	}
	return f
}

func (v value) anyMapping() fields {
	f := fields{value: v, of: map[string]any{}}
	switch raw := v.raw.(type) {
	case nil:
	case map[string]any:
		f.of = raw
	default:
		v.fail(v.at, v.shown(), "is not a mapping of fields").fix("see docs/simulation.md")
	}
	return f
}

func (v value) path(name string) string {
	if v.at == "file" {
		return name
	}
	return v.at + "." + name
}

// get gives a field, false if it is not there.
func (f fields) get(name string) (value, bool) {
	raw, ok := f.of[name]
	return value{f.reader, f.path(name), raw}, ok && raw != nil
}

// need gives a field that must be there.
func (f fields) need(name, example string) value {
	v, ok := f.get(name)
	if !ok {
		f.fail(f.path(name), "", "is missing").fix("write for example %s: %s", name, example)
	}
	return v
}

// items are those of a list. None at all is empty.
func (v value) items() []value {
	var out []value
	switch raw := v.raw.(type) {
	case nil:
	case []any:
		for i, item := range raw {
			out = append(out, value{v.reader, fmt.Sprintf("%s[%d]", v.at, i), item})
		}
	default:
		v.fail(v.at, v.shown(), "is not a list").fix("begin each item with a dash")
	}
	return out
}

func (f fields) list(name string) []value {
	v, _ := f.get(name)
	return v.items()
}

func (v value) text(example string) string {
	s, ok := v.raw.(string)
	if _, yes := v.raw.(bool); yes {
		v.fail(v.at, v.shown(), "is not a text: YAML takes y, n, yes, no, on and off for true and false").fix(`put it in quotes, as in "n"`)
	} else if !ok || s == "" {
		v.is("a text", example)
	}
	return s
}

// loose is a text, or what YAML takes for something else: a number, or a yes and no.
func (v value) loose() string {
	switch raw := v.raw.(type) {
	case bool:
		return map[bool]string{true: "on", false: "off"}[raw]
	case string, json.Number:
		return v.shown()
	}
	v.is("a text or a number", `"1"`)
	return ""
}

// texts is one text, or a list of them.
func (v value) texts(example string) []string {
	if _, list := v.raw.([]any); !list {
		return []string{v.text(example)}
	}
	var out []string
	for _, item := range v.items() {
		out = append(out, item.text(example))
	}
	if len(out) == 0 {
		v.fail(v.at, "", "is an empty list").fix("write for example %s", example)
	}
	return out
}

// word is one of some.
func word[T ~string](f fields, name string, words ...T) T {
	v, ok := f.get(name)
	if !ok {
		return words[0]
	}
	s, _ := v.raw.(string)
	if !slices.Contains(words, T(s)) {
		v.fail(v.at, v.shown(), "is none of %s", joined(words)).fix("without it, it is %s", words[0])
	}
	return T(s)
}

func joined[T ~string](words []T) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

// textMap reads names with texts. Numbers are taken as they are written.
func (f fields) textMap(name string) map[string]string {
	v, _ := f.get(name)
	return v.textMap()
}

func (v value) textMap() map[string]string {
	out := map[string]string{}
	m := v.anyMapping()
	for _, k := range slices.Sorted(maps.Keys(m.of)) {
		out[k] = value{v.reader, v.path(k), m.of[k]}.loose()
	}
	return out
}

func (f fields) duration(name string, standard, least, most time.Duration) time.Duration {
	v, ok := f.get(name)
	if !ok {
		return standard
	}
	return v.duration(least, most)
}

func (v value) duration(least, most time.Duration) time.Duration {
	text := v.shown()
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		v.fail(v.at, text, "is not a duration from %s to %s", brief(least), brief(most)).fix("write for example 90s, 5m or 1h30m")
	}
	return d
}

func (f fields) count(name string, standard, least, most int) int {
	v, ok := f.get(name)
	if !ok {
		return standard
	}
	n, err := strconv.Atoi(v.shown())
	if _, number := v.raw.(json.Number); !number || err != nil || n < least || n > most {
		v.fail(v.at, v.shown(), "is not a whole number from %d to %d", least, most).fix("write for example %s: %d", name, max(standard, least, 1))
		return standard // nobody is to make anything of the size of a mistake
	}
	return n
}

func (f fields) number(name string, standard, least, most float64) float64 {
	v, ok := f.get(name)
	if !ok {
		return standard
	}
	return v.number(least, most)
}

func (v value) number(least, most float64) float64 {
	x, err := strconv.ParseFloat(v.shown(), 64)
	inside := x >= least && x <= most && !math.IsNaN(x)
	if _, number := v.raw.(json.Number); !number || err != nil || !inside {
		v.fail(v.at, v.shown(), "is not a number from %s to %s", short(least), short(most)).fix("write for example %s", short(min(max(0.5, least), most)))
	}
	return x
}

// maxCompared bounds what is compared with names that are known.
const maxCompared = 64

// nearest is the known name that somebody most likely meant, "" if none resembles what he wrote.
func nearest(name string, known []string) string {
	best, off := "", len(name)/2+1
	if len(name) > maxCompared {
		return ""
	}
	for _, k := range known {
		if d := typos(name, k); d < off {
			best, off = k, d
		}
	}
	return best
}

// typos counts the bytes to put in, take out or replace to make one text the other.
func typos(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
