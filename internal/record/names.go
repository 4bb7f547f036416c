package record

import (
	"fmt"
	"strings"

	storev1 "github.com/spanward/spanward/api/store/v1"
)

// The names below are those of the outside contract: command line, JSON, logs.

// KindName is "add", "move", … and "" for none.
func KindName(k Kind) string { return lower(k.String(), "KIND_") }

// StageName is "queued", "closing", …
func StageName(s Stage) string { return lower(s.String(), "STAGE_") }

// OutcomeName is "", "done", "failed" or "cancelled".
func OutcomeName(o Outcome) string { return lower(o.String(), "OUTCOME_") }

// ByName is "user", "placement", …
func ByName(b By) string { return lower(b.String(), "BY_") }

// KeyspaceStateName is "creating", "running", …
func KeyspaceStateName(s KeyspaceState) string { return lower(s.String(), "STATE_") }

// ParseKind is the inverse of KindName.
func ParseKind(s string) (Kind, error) {
	k, ok := storev1.Kind_value["KIND_"+strings.ToUpper(s)]
	if !ok || k == 0 {
		return 0, fmt.Errorf("unknown operator type %q", s)
	}
	return Kind(k), nil
}

// ParseOutcome is the inverse of OutcomeName, for finished operators.
func ParseOutcome(s string) (Outcome, error) {
	o, ok := storev1.Outcome_value["OUTCOME_"+strings.ToUpper(s)]
	if !ok || o == 0 {
		return 0, fmt.Errorf("unknown outcome %q", s)
	}
	return Outcome(o), nil
}

func lower(s, prefix string) string {
	s = strings.TrimPrefix(s, prefix)
	if s == "UNSPECIFIED" {
		return ""
	}
	return strings.ToLower(s)
}
