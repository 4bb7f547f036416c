package record

import (
	"math"

	storev1 "github.com/spanward/spanward/api/store/v1"
)

// maxName is the longest name of a cluster, node, maintainer, keyspace, operator or span.
const maxName = 63

// validName is the pattern [a-z0-9][a-z0-9._-]{0,62} without a regexp: it runs for every record of a listing.
func validName(s string) bool {
	if len(s) == 0 || len(s) > maxName {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return true
}

func checkName(field, s string) error {
	if !validName(s) {
		return invalid("%s %q is not a name", field, s)
	}
	return nil
}

func checkNames(field string, list []string) error {
	for _, s := range list {
		if err := checkName(field, s); err != nil {
			return err
		}
	}
	return nil
}

func checkOptionalName(field, s string) error {
	if s == "" {
		return nil
	}
	return checkName(field, s)
}

func checkRequests(list []*storev1.Request) error {
	for _, r := range list {
		if r.GetId() == "" {
			return invalid("a request without an id")
		}
	}
	return nil
}

func checkRange(r *storev1.Range) error {
	if r == nil {
		return invalid("no range")
	}
	if rng := decodeRange(r); rng.Empty() {
		return invalid("range from %q to %q is empty or inverted", rng.Start, rng.End)
	}
	return nil
}

func checkOwner(o *storev1.Owner) error {
	switch {
	case o == nil:
		return nil
	case o.GetSession() <= 0:
		return invalid("owner with session %d", o.GetSession())
	case o.GetToken() == 0:
		return invalid("owner without a token")
	}
	return checkName("owner", o.GetNode())
}

func checkIntent(i *storev1.Intent) error {
	if err := checkName("operator", i.GetOperator()); err != nil {
		return err
	}
	if err := checkKind(i.GetKind()); err != nil {
		return err
	}
	if i.GetBy() == 0 {
		return invalid("operator asked for by nobody")
	}
	if err := checkBy(i.GetBy()); err != nil {
		return err
	}
	for k, at := range i.GetAt() {
		if k > 0 && string(i.GetAt()[k-1]) >= string(at) {
			return invalid("split keys do not ascend")
		}
	}
	for _, m := range i.GetMarks() {
		if _, ok := storev1.Stage_name[int32(m.GetStage())]; !ok || m.GetStage() == 0 {
			return invalid("mark with stage %d", m.GetStage())
		}
	}
	return firstError(
		checkOptionalName("from", i.GetFrom()), checkOptionalName("to", i.GetTo()),
		checkNames("span", i.GetSpans()), checkNames("result", i.GetResults()),
	)
}

func checkKind(k storev1.Kind) error {
	if _, ok := storev1.Kind_name[int32(k)]; !ok || k == 0 {
		return invalid("operator of kind %d", k)
	}
	return nil
}

func checkBy(b storev1.By) error {
	if _, ok := storev1.By_name[int32(b)]; !ok {
		return invalid("operator asked for by %d", b)
	}
	return nil
}

func checkWeight(w float64) error {
	if w < 0 || math.IsNaN(w) || math.IsInf(w, 0) {
		return invalid("weight %v", w)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
