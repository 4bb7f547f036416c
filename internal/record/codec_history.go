package record

import storev1 "github.com/spanward/spanward/api/store/v1"

// EncodeHistory is the stored form of h.
func EncodeHistory(h History) []byte {
	m := &storev1.History{
		Intent: encodeIntent(&h.Intent), Outcome: h.Outcome, FinishedAt: nanos(h.FinishedAt), Error: text(h.Error),
		Ranges: each(h.Ranges, encodeRange),
	}
	if h.Cause != nil {
		m.Cause = encodeCause(h.Cause)
	}
	return encode(m)
}

// DecodeHistory is the inverse of EncodeHistory.
func DecodeHistory(b []byte) (History, error) {
	var m storev1.History
	if err := decode(b, &m); err != nil {
		return History{}, err
	}
	if err := checkHistory(&m); err != nil {
		return History{}, err
	}
	h := History{
		Intent: decodeIntent(m.GetIntent()), Outcome: m.GetOutcome(), FinishedAt: moment(m.GetFinishedAt()),
		Error: m.GetError(), Ranges: each(m.GetRanges(), decodeRange),
	}
	if m.GetCause() != nil {
		c := decodeCause(m.GetCause())
		h.Cause = &c
	}
	return h, nil
}

func checkHistory(m *storev1.History) error {
	if m.GetIntent() == nil {
		return invalid("history without an operator")
	}
	if _, ok := storev1.Outcome_name[int32(m.GetOutcome())]; !ok || m.GetOutcome() == 0 {
		return invalid("history with outcome %d", m.GetOutcome())
	}
	for _, r := range m.GetRanges() {
		if err := checkRange(r); err != nil {
			return err
		}
	}
	if m.GetCause() != nil {
		if err := checkCause(m.GetCause()); err != nil {
			return err
		}
	}
	return checkIntent(m.GetIntent())
}

// EncodeCause is the form in which a cause travels in an ask.
func EncodeCause(c Cause) []byte { return encode(encodeCause(&c)) }

// DecodeCause is the inverse of EncodeCause.
func DecodeCause(b []byte) (Cause, error) {
	var m storev1.Cause
	if err := decode(b, &m); err != nil {
		return Cause{}, err
	}
	if err := checkCause(&m); err != nil {
		return Cause{}, err
	}
	return decodeCause(&m), nil
}

func encodeCause(c *Cause) *storev1.Cause {
	return &storev1.Cause{
		By: c.By, Reason: text(c.Reason), RequestId: text(c.RequestID), Body: c.Body, Operator: text(c.Operator),
	}
}

func decodeCause(m *storev1.Cause) Cause {
	return Cause{
		By: m.GetBy(), Reason: m.GetReason(), RequestID: m.GetRequestId(), Body: nonEmptyBytes(m.GetBody()),
		Operator: m.GetOperator(),
	}
}

func checkCause(m *storev1.Cause) error {
	if m.GetBy() == 0 {
		return invalid("operator ended by nobody")
	}
	return firstError(checkBy(m.GetBy()), checkOptionalName("operator", m.GetOperator()))
}

// EncodeIntent is the form in which an operator travels in an ask.
func EncodeIntent(i Intent) []byte { return encode(encodeIntent(&i)) }

// DecodeIntent is the inverse of EncodeIntent.
func DecodeIntent(b []byte) (Intent, error) {
	var m storev1.Intent
	if err := decode(b, &m); err != nil {
		return Intent{}, err
	}
	if err := checkIntent(&m); err != nil {
		return Intent{}, err
	}
	return decodeIntent(&m), nil
}
