package span_test

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/spanward/spanward/internal/fault"
	"github.com/spanward/spanward/span"
)

func TestKeysAsTyped(t *testing.T) {
	for _, tc := range []struct{ raw, text string }{
		{"", ""},
		{"plain key/1 ~", "plain key/1 ~"},
		{"a:b", `a\x3ab`},
		{`a\b`, `a\\b`},
		{`\x41`, `\\x41`},
		{"\x00\x1f\x7f\xff", `\x00\x1f\x7f\xff`},
		{"é\n", `\xc3\xa9\x0a`},
		{strings.Repeat("k", span.MaxKeyBytes), strings.Repeat("k", span.MaxKeyBytes)},
		{strings.Repeat("\xff", span.MaxKeyBytes), strings.Repeat(`\xff`, span.MaxKeyBytes)},
	} {
		if got := span.EscapeKey(tc.raw); got != tc.text {
			t.Errorf("EscapeKey(%q) = %s, want %s", tc.raw, got, tc.text)
		}
		if got, err := span.ParseKey(tc.text); err != nil || got != tc.raw {
			t.Errorf("ParseKey(%s) = %q, %v, want %q", tc.text, got, err, tc.raw)
		}
	}
}

func TestKeysAcceptedButNeverPrinted(t *testing.T) {
	for text, want := range map[string]string{`\xFF\xfF`: "\xff\xff", `\x41\x5C`: `A\`, `\x3A`: ":"} {
		if got, err := span.ParseKey(text); err != nil || got != want {
			t.Errorf("ParseKey(%s) = %q, %v, want %q", text, got, err, want)
		}
	}
}

// Each error has to show the text that is wrong and say what to write instead.
func TestKeyErrorsNameTextAndRemedy(t *testing.T) {
	for text, want := range map[string]string{
		`a\n`:                                   `key "a\n": \n is not an escape; write \\ for a backslash`,
		`a\`:                                    `key "a\": \ is not an escape; write`,
		`a\x`:                                   `key "a\x": \x is not an escape; write`,
		`a\x1`:                                  `: \x1 is not an escape; write`,
		`\xg0 more`:                             `: \xg0 is not an escape; write`,
		`\x0`:                                   `: \x0 is not an escape; write`,
		`\X41`:                                  `: \X is not an escape; write`,
		`\:`:                                    `: \: is not an escape; write`,
		`\101`:                                  `: \1 is not an escape; write`,
		"\\\xc3":                                `: \\xc3 is not an escape; write`,
		"a:b":                                   `key "a:b": byte 1 cannot stand for itself; write it as \x3a`,
		"aé":                                    `byte 1 cannot stand for itself; write it as \xc3`,
		"\t":                                    `byte 0 cannot stand for itself; write it as \x09`,
		strings.Repeat("k", span.MaxKeyBytes+1): `has 4097 bytes, and a key has at most 4096; shorten it`,
	} {
		_, err := span.ParseKey(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseKey(%q): %v\nwant … %s", text, err, want)
		}
		if !fault.Is(err, fault.InvalidKey) || !errors.Is(err, span.ErrKey) || fault.ExitCode(err) != 2 {
			t.Errorf("ParseKey(%q): wrong kind: %v", text, err)
		}
	}
}

func TestEscapedKeysKeepToTheirAlphabet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := string(rapid.SliceOf(rapid.Byte()).Draw(t, "raw"))
		text := span.EscapeKey(raw)
		for i := range len(text) {
			if text[i] < 0x20 || text[i] > 0x7e || text[i] == ':' {
				t.Fatalf("%q holds byte %#x", text, text[i])
			}
		}
		if back, err := span.ParseKey(text); err != nil || back != raw {
			t.Fatalf("ParseKey(%s) = %q, %v", text, back, err)
		}
	})
}

func FuzzParseKey(f *testing.F) {
	for _, seed := range []string{"", "a", `a\x3ab`, `\\`, `\xFF`, `\x`, `\`, "a:b", "\xff", `\x0`, "é"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		// Any bytes survive being printed and read,
		if back, err := span.ParseKey(span.EscapeKey(text)); len(text) <= span.MaxKeyBytes && (err != nil || back != text) {
			t.Fatalf("%q came back as %q, %v", text, back, err)
		}
		// and any text that is accepted has one spelling in which it is printed.
		raw, err := span.ParseKey(text)
		if err != nil {
			return
		}
		spelled := span.EscapeKey(raw)
		again, err := span.ParseKey(spelled)
		if err != nil || again != raw || span.EscapeKey(again) != spelled {
			t.Fatalf("%q is %q, printed %q, read %q, %v", text, raw, spelled, again, err)
		}
	})
}
