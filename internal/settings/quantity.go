package settings

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/scheduler"
)

// quantity is what a setting measures, and where its value is kept. Values are written and read as text.
type quantity struct {
	// Unit is "duration", "count", "number", "share", "choice" or "rule"; Default, Least and Most are as a user would write
	// them, and empty for a rule. Those of a choice are its first and its last value.
	Unit, Default, Least, Most string
	// Words are those of a choice.
	Words []string

	// set puts a value, or says what is wrong with it; nothing is changed then.
	set func(v *Values, text string) error
	// copyTo takes the value over from another layer, if that has one.
	copyTo func(to, from *Values) bool
	text   func(v *Values) string
}

// Accepts says what is wrong with a value, nil if nothing is.
func (q quantity) Accepts(text string) error {
	var v Values
	return q.set(&v, text)
}

func (q quantity) reset(v *Values) { _ = q.set(v, q.Default) } // a test sets every default

// unit is how values of one kind are read and written.
type unit[T cmp.Ordered] struct {
	name    string
	example string
	parse   func(string) (T, error)
	text    func(T) string
}

var (
	durations = unit[time.Duration]{"duration", "90s or 5m", time.ParseDuration, durationText}
	counts    = unit[int]{"count", "100", strconv.Atoi, strconv.Itoa}
	shares    = unit[float64]{"share", "0.5", parseNumber, numberText}
	numbers   = unit[float64]{"number", "1000", parseNumber, numberText}
)

// What the load of a span is measured by.
const (
	MeasureLoad = "load"
	MeasureLag  = "lag"
	MeasureSize = "size"
	MeasureNone = "none"
)

func duration(at func(*Values) *time.Duration, standard, least, most time.Duration) quantity {
	return bounded(durations, at, standard, least, most)
}

func count(at func(*Values) *int, standard, least, most int) quantity {
	return bounded(counts, at, standard, least, most)
}

func share(at func(*Values) *float64, standard, least, most float64) quantity {
	return bounded(shares, at, standard, least, most)
}

func number(at func(*Values) *float64, standard, least, most float64) quantity {
	return bounded(numbers, at, standard, least, most)
}

// choice is one of some words, of which the first is the default.
func choice(at func(*Values) *string, words ...string) quantity {
	return quantity{
		Unit: "choice", Default: words[0], Least: words[0], Most: words[len(words)-1], Words: words,
		set: func(v *Values, text string) error {
			if !slices.Contains(words, text) {
				return fault.New(fault.InvalidArgument, "is none of %s", strings.Join(words, ", ")).Fix("the default is %s", words[0])
			}
			*at(v) = text
			return nil
		},
		copyTo: func(to, from *Values) bool {
			if *at(from) == "" {
				return false
			}
			*at(to) = *at(from)
			return true
		},
		text: func(v *Values) string { return *at(v) },
	}
}

// rule is a text that is read elsewhere, of which there is none by default.
func rule(name string) quantity {
	return quantity{
		Unit: "rule",
		set: func(_ *Values, text string) error {
			_, err := scheduler.ParseRules(map[string]string{name: text})
			return err
		},
		copyTo: func(_, _ *Values) bool { return false },
		text:   func(*Values) string { return "" },
	}
}

func bounded[T cmp.Ordered](u unit[T], at func(*Values) *T, standard, least, most T) quantity {
	q := quantity{Unit: u.name, Default: u.text(standard), Least: u.text(least), Most: u.text(most)}
	q.set = func(v *Values, text string) error {
		x, err := u.parse(text)
		inside := x >= least && x <= most // what is no number is not
		if err != nil || !inside {
			return fault.New(fault.InvalidArgument, "is not a %s from %s to %s", u.name, q.Least, q.Most).
				Fix("write for example %s; the default is %s", u.example, q.Default)
		}
		*at(v) = x
		return nil
	}
	q.copyTo = func(to, from *Values) bool {
		var none T
		if *at(from) == none {
			return false
		}
		*at(to) = *at(from)
		return true
	}
	q.text = func(v *Values) string { return u.text(*at(v)) }
	return q
}

// durationText leaves out what is zero: 1m instead of 1m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func parseNumber(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

func numberText(f float64) string { return strconv.FormatFloat(f, 'g', -1, 64) }
