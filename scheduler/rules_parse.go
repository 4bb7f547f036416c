package scheduler

import (
	"slices"
	"strings"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

// The settings of a keyspace that hold its rules.
const (
	SettingRequire = "place.require"
	SettingPrefer  = "place.prefer"
	SettingSpread  = "place.spread"
	SettingPin     = "place.pin"
	// SettingPrefix is what the names of all of them begin with.
	SettingPrefix = "place."
)

const (
	// maxTerms bounds the terms of a constraint, and the values of a term.
	maxTerms = 16
	// maxPins bounds the pins of a keyspace: every span that is placed is compared with all of them.
	maxPins = 64
)

// ParseRules reads the settings of a keyspace, nil if it has no rules. What cannot be read is an error on the setting, with
// everything that can be read beside it.
func ParseRules(set map[string]string) (*Rules, error) {
	var r Rules
	var bad error
	note := func(name string, err error) {
		if f, ok := fault.As(err); ok && bad == nil {
			bad = f.On(name, set[name])
		}
	}
	var err error
	r.Require, err = parseTerms(set[SettingRequire])
	note(SettingRequire, err)
	r.Prefer, err = parseTerms(set[SettingPrefer])
	note(SettingPrefer, err)
	if r.Spread = set[SettingSpread]; r.Spread != "" {
		note(SettingSpread, checkLabel(r.Spread))
	}
	r.Pins, err = parsePins(set[SettingPin])
	note(SettingPin, err)
	if len(r.Require)+len(r.Prefer)+len(r.Pins) == 0 && r.Spread == "" {
		return nil, bad
	}
	return &r, bad
}

// parseTerms reads `label=value|value,label=value`: several values of one label are alternatives, several labels must all
// fit. A label stands once. What a name or value may be is a node's business, but for the characters = , | and blanks at
// the ends. The empty text has no terms.
func parseTerms(text string) (Terms, error) {
	if text == "" {
		return nil, nil
	}
	var out Terms
	for item := range strings.SplitSeq(text, ",") {
		t, err := parseTerm(item)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(out, func(o Term) bool { return o.Label == t.Label }) {
			return nil, termsError("names label %s twice", t.Label).Fix("write alternatives as %s=one|other", t.Label)
		}
		if out = append(out, t); len(out) > maxTerms {
			return nil, termsError("has more than %d labels", maxTerms)
		}
	}
	return out, nil
}

func parseTerm(item string) (Term, error) {
	label, values, ok := strings.Cut(item, "=")
	if !ok {
		return Term{}, termsError("has %q, which is no label=value", item)
	}
	if !validLabel(label) {
		return Term{}, termsError("has %q, which is no name of a label", label)
	}
	t := Term{label, strings.Split(values, "|")}
	for i, v := range t.Values {
		switch {
		case v == "" || v != strings.TrimSpace(v) || strings.Contains(v, "="):
			return Term{}, termsError("has %q, which is no value of label %s", v, label)
		case slices.Contains(t.Values[:i], v):
			return Term{}, termsError("has value %s of label %s twice", v, label)
		case i == maxTerms:
			return Term{}, termsError("has more than %d values of label %s", maxTerms, label)
		}
	}
	return t, nil
}

func checkLabel(name string) error {
	if validLabel(name) {
		return nil
	}
	return fault.New(fault.InvalidArgument, "is no name of a label").Fix("name one label, for example zone; an empty value takes it back")
}

// validLabel: a constraint can name it.
func validLabel(name string) bool {
	return name != "" && strings.TrimSpace(name) == name && !strings.ContainsAny(name, "=,|")
}

func termsError(format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidArgument, format, args...).Fix("write for example zone=a, zone=a|b or zone=a,disk=ssd; an empty value takes it back")
}

// parsePins reads `START:END=node,START:END=node`. Ranges are as they are printed; a comma in a key is written \x2c. They
// must not overlap. The empty text has no pins.
func parsePins(text string) (Pins, error) {
	if text == "" {
		return nil, nil
	}
	var out Pins
	var ranges []span.Range
	for item := range strings.SplitSeq(text, ",") {
		p, err := parsePin(item)
		if err != nil {
			return nil, err
		}
		ranges = append(ranges, p.Range)
		if out = append(out, p); len(out) > maxPins {
			return nil, pinsError("has more than %d ranges", maxPins)
		}
	}
	if i, j, bad := span.Overlapping(ranges); bad {
		return nil, pinsError("pins %s and %s, which overlap", ranges[i], ranges[j])
	}
	slices.SortFunc(out, func(a, b Pin) int { return a.Range.Compare(b.Range) })
	return out, nil
}

func parsePin(item string) (Pin, error) {
	at := strings.LastIndex(item, "=") // a key may have one
	if at < 0 || at == len(item)-1 {
		return Pin{}, pinsError("has %q, which is no START:END=node", item)
	}
	r, err := span.ParseRange(item[:at])
	if f, bad := fault.As(err); bad {
		return Pin{}, pinsError("has range %q, which %s", item[:at], f.Message)
	}
	return Pin{r, item[at+1:]}, nil
}

func pinsError(format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidArgument, format, args...).
		Fix(`write for example a:c=n1 or a:c=n1,m:=n2, with \x2c for a comma in a key; an empty value takes it back`)
}
