package span

import (
	"errors"
	"strings"

	"github.com/spanward/spanward/internal/fault"
)

// MaxKeyBytes is the longest key, and the longest bound of a range, in raw bytes.
const MaxKeyBytes = 4096

// ErrKey is in the chain of every error about a key, ErrRange of every one about a range.
var (
	ErrKey   = errors.New("invalid key")
	ErrRange = errors.New("invalid range")
)

const hexDigits = "0123456789abcdef"

// EscapeKey spells raw key bytes so that they can be typed, printed and split at ':'.
func EscapeKey(key string) string {
	if !strings.ContainsFunc(key, special) {
		return key
	}
	var b strings.Builder
	b.Grow(len(key) + 12)
	for i := range len(key) {
		switch c := key[i]; {
		case c == '\\':
			b.WriteString(`\\`)
		case plain(c):
			b.WriteByte(c)
		default:
			b.WriteString(hexEscape(c))
		}
	}
	return b.String()
}

// plain bytes stand for themselves.
func plain(c byte) bool { return c >= 0x20 && c <= 0x7e && c != '\\' && c != ':' }

func special(r rune) bool { return r > 0x7e || !plain(byte(r)) }

func hexEscape(c byte) string {
	return string([]byte{'\\', 'x', hexDigits[c>>4], hexDigits[c&15]})
}

// ParseKey reads what EscapeKey writes; hexadecimal digits may be upper case, and any byte may be spelled \xNN.
func ParseKey(text string) (string, error) {
	var b strings.Builder
	b.Grow(len(text))
	for i := 0; i < len(text); {
		c := text[i]
		if c == '\\' {
			raw, n, ok := unescape(text[i:])
			if !ok {
				return "", keyError(text, "%s is not an escape", shown(text[i:i+n])).
					Fix(`write \\ for a backslash, \xNN with two hexadecimal digits for any byte`)
			}
			b.WriteByte(raw)
			i += n
			continue
		}
		if !plain(c) {
			return "", keyError(text, "byte %d cannot stand for itself", i).Fix("write it as %s", hexEscape(c))
		}
		b.WriteByte(c)
		i++
	}
	if b.Len() > MaxKeyBytes {
		return "", tooLong(text, b.Len())
	}
	return b.String(), nil
}

// unescape reads one escape from the start of s: the byte, and how much text it took or, if it is none, how much to show.
func unescape(s string) (raw byte, n int, ok bool) {
	if strings.HasPrefix(s, `\\`) {
		return '\\', 2, true
	}
	if !strings.HasPrefix(s, `\x`) {
		return 0, min(2, len(s)), false
	}
	if len(s) < 4 {
		return 0, len(s), false
	}
	hi, lo := hexValue(s[2]), hexValue(s[3])
	return byte(hi<<4 | lo), 4, hi >= 0 && lo >= 0
}

func hexValue(c byte) int {
	if c >= 'A' && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte(hexDigits, c)
}

func keyError(text, format string, args ...any) *fault.Error {
	return fault.New(fault.InvalidKey, format, args...).On("key", text).Because(ErrKey)
}

func tooLong(text string, n int) *fault.Error {
	return keyError(text, "has %d bytes, and a key has at most %d", n, MaxKeyBytes).Fix("shorten it")
}

// shown is offending text for a message: what is printable stays as it was typed.
func shown(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) {
		return strings.ReplaceAll(EscapeKey(s), `\\`, `\`)
	}
	return s
}
