package record

import (
	"maps"
	"slices"

	storev1 "github.com/spanward/spanward/api/store/v1"
	"github.com/spanward/spanward/span"
)

// EncodeSpan is the stored form of s.
func EncodeSpan(s Span) []byte {
	m := &storev1.Span{
		Range: encodeRange(s.Range), Parents: texts(s.Parents), LastNode: text(s.LastNode), CreatedAt: nanos(s.CreatedAt),
	}
	if s.Owner != (Owner{}) {
		m.Owner = &storev1.Owner{Node: text(s.Owner.Node), Session: s.Owner.Session, Token: s.Owner.Token}
	}
	if s.Checkpoint.Known {
		m.Checkpoint = &s.Checkpoint.At
	}
	if s.Intent != nil {
		m.Intent = encodeIntent(s.Intent)
	}
	return encode(m)
}

// DecodeSpan is the inverse of EncodeSpan.
func DecodeSpan(b []byte) (Span, error) {
	var m storev1.Span
	if err := decode(b, &m); err != nil {
		return Span{}, err
	}
	if err := checkSpan(&m); err != nil {
		return Span{}, err
	}
	s := Span{
		Range: decodeRange(m.GetRange()), Parents: texts(m.GetParents()), LastNode: m.GetLastNode(),
		CreatedAt: moment(m.GetCreatedAt()),
	}
	if o := m.GetOwner(); o != nil {
		s.Owner = Owner{Node: o.GetNode(), Session: o.GetSession(), Token: o.GetToken()}
	}
	if m.Checkpoint != nil {
		s.Checkpoint = At(m.GetCheckpoint())
	}
	if m.GetIntent() != nil {
		i := decodeIntent(m.GetIntent())
		s.Intent = &i
	}
	return s, nil
}

func checkSpan(m *storev1.Span) error {
	err := firstError(checkRange(m.GetRange()), checkOwner(m.GetOwner()),
		checkOptionalName("last node", m.GetLastNode()), checkNames("parent", m.GetParents()))
	if err != nil || m.GetIntent() == nil {
		return err
	}
	return checkIntent(m.GetIntent())
}

func encodeRange(r span.Range) *storev1.Range {
	return &storev1.Range{Start: []byte(r.Start), End: []byte(r.End)}
}

func decodeRange(r *storev1.Range) span.Range {
	return span.Range{Start: string(r.GetStart()), End: string(r.GetEnd())}
}

func encodeIntent(i *Intent) *storev1.Intent {
	return &storev1.Intent{
		Operator: text(i.Operator), Kind: i.Kind, By: i.By, Reason: text(i.Reason), RequestId: text(i.RequestID),
		Body: i.Body, CreatedAt: nanos(i.CreatedAt), From: text(i.From), To: text(i.To), HandedOff: i.HandedOff,
		At:    each(i.At, func(k string) []byte { return []byte(k) }),
		Spans: texts(i.Spans), Results: texts(i.Results),
		Marks: each(i.Marks, func(m Mark) *storev1.Mark {
			return &storev1.Mark{Stage: m.Stage, At: nanos(m.At), Node: text(m.Node), Span: text(string(m.Span))}
		}),
	}
}

func decodeIntent(m *storev1.Intent) Intent {
	return Intent{
		Operator: m.GetOperator(), Kind: m.GetKind(), By: m.GetBy(), Reason: m.GetReason(), RequestID: m.GetRequestId(),
		Body: nonEmptyBytes(m.GetBody()), CreatedAt: moment(m.GetCreatedAt()), From: m.GetFrom(), To: m.GetTo(),
		HandedOff: m.GetHandedOff(),
		At:        each(m.GetAt(), func(k []byte) string { return string(k) }),
		Spans:     texts(m.GetSpans()), Results: texts(m.GetResults()),
		Marks: each(m.GetMarks(), func(k *storev1.Mark) Mark {
			return Mark{Stage: k.GetStage(), At: moment(k.GetAt()), Node: k.GetNode(), Span: span.ID(k.GetSpan())}
		}),
	}
}

// EncodeClaim is the stored form of c.
func EncodeClaim(c Claim) []byte {
	return encode(&storev1.Claim{
		Operator: text(c.Operator), Kind: c.Kind, Stage: c.Stage, Node: text(c.Node), Session: c.Session,
		At: nanos(c.At), By: c.By, Term: c.Term,
	})
}

// DecodeClaim is the inverse of EncodeClaim.
func DecodeClaim(b []byte) (Claim, error) {
	var m storev1.Claim
	if err := decode(b, &m); err != nil {
		return Claim{}, err
	}
	if err := checkClaim(&m); err != nil {
		return Claim{}, err
	}
	return Claim{
		Operator: m.GetOperator(), Kind: m.GetKind(), Stage: m.GetStage(), Node: m.GetNode(), Session: m.GetSession(),
		At: moment(m.GetAt()), By: m.GetBy(), Term: m.GetTerm(),
	}, nil
}

func checkClaim(m *storev1.Claim) error {
	switch {
	case m.GetStage() != StageClosing && m.GetStage() != StageOpening:
		return invalid("claim at stage %d", m.GetStage())
	case m.GetSession() <= 0:
		return invalid("claim of session %d", m.GetSession())
	case m.GetTerm() < 0:
		return invalid("claim of term %d", m.GetTerm())
	}
	err := firstError(checkName("node", m.GetNode()), checkBy(m.GetBy()), checkOptionalName("operator", m.GetOperator()))
	if err != nil || m.GetOperator() == "" && m.GetKind() == 0 {
		return err
	}
	return checkKind(m.GetKind())
}

// EncodeProgress is the stored form of p.
func EncodeProgress(p Progress) []byte {
	m := &storev1.Progress{Entries: make([]*storev1.Progress_Entry, 0, len(p))}
	for _, id := range slices.Sorted(maps.Keys(p)) {
		m.Entries = append(m.Entries, &storev1.Progress_Entry{Span: text(string(id)), Checkpoint: p[id]})
	}
	return encode(m)
}

// DecodeProgress is the inverse of EncodeProgress. It never returns a nil map without an error.
func DecodeProgress(b []byte) (Progress, error) {
	var m storev1.Progress
	if err := decode(b, &m); err != nil {
		return nil, err
	}
	p := make(Progress, len(m.GetEntries()))
	for _, e := range m.GetEntries() {
		if err := checkName("span", e.GetSpan()); err != nil {
			return nil, err
		}
		if _, twice := p[span.ID(e.GetSpan())]; twice {
			return nil, invalid("two positions for span %q", e.GetSpan())
		}
		p[span.ID(e.GetSpan())] = e.GetCheckpoint()
	}
	return p, nil
}
