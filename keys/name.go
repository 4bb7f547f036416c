package keys

import "github.com/spanward/spanward/internal/fault"

// MaxNameBytes is the longest name.
const MaxNameBytes = 63

// NamePattern is what clusters, keyspaces, nodes, maintainers, spans and operators may be called.
const NamePattern = `[a-z0-9][a-z0-9._-]{0,62}`

// CheckName refuses a name that does not match NamePattern; the error names the field it was given for.
func CheckName(field, s string) error {
	if ValidName(s) {
		return nil
	}
	return fault.New(fault.InvalidName, "does not match %s", NamePattern).On(field, s).Fix("%s", nameRemedy(s))
}

// ValidName says whether s matches NamePattern. It runs for every key of a listing, hence no regexp.
func ValidName(s string) bool {
	if s == "" || len(s) > MaxNameBytes || !letterOrDigit(s[0]) {
		return false
	}
	for i := range len(s) {
		if !letterOrDigit(s[i]) && !mark(s[i]) {
			return false
		}
	}
	return true
}

func letterOrDigit(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func mark(c byte) bool { return c == '.' || c == '_' || c == '-' }

func nameRemedy(s string) string {
	switch {
	case s == "":
		return "give a name"
	case len(s) > MaxNameBytes:
		return "use at most 63 characters"
	case mark(s[0]):
		return "start with a lower-case letter or a digit"
	}
	return "use lower-case letters, digits, '.', '_' and '-' only"
}
