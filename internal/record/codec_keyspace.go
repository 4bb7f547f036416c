package record

import (
	storev1 "github.com/spanward/spanward/api/store/v1"
)

// EncodeKeyspace is the stored form of k.
func EncodeKeyspace(k Keyspace) []byte {
	m := &storev1.Keyspace{
		Workload: text(k.Workload), Settings: textMap(k.Settings), State: k.State, RangeGeneration: k.RangeGeneration,
		Requests: each(k.Requests, encodeRequest), CreatedBy: text(k.CreatedBy), CreatedAt: nanos(k.CreatedAt),
		ExpectedSpans: k.ExpectedSpans,
	}
	if k.Pending != nil {
		m.Pending = encodeIntent(k.Pending)
	}
	return encode(m)
}

// DecodeKeyspace is the inverse of EncodeKeyspace.
func DecodeKeyspace(b []byte) (Keyspace, error) {
	var m storev1.Keyspace
	if err := decode(b, &m); err != nil {
		return Keyspace{}, err
	}
	if err := checkKeyspace(&m); err != nil {
		return Keyspace{}, err
	}
	k := Keyspace{
		Workload: m.GetWorkload(), Settings: nonEmpty(m.GetSettings()), State: m.GetState(),
		RangeGeneration: m.GetRangeGeneration(), Requests: each(m.GetRequests(), decodeRequest),
		CreatedBy: m.GetCreatedBy(), CreatedAt: moment(m.GetCreatedAt()), ExpectedSpans: m.GetExpectedSpans(),
	}
	if m.GetPending() != nil {
		i := decodeIntent(m.GetPending())
		k.Pending = &i
	}
	return k, nil
}

func checkKeyspace(m *storev1.Keyspace) error {
	if _, ok := storev1.Keyspace_State_name[int32(m.GetState())]; !ok || m.GetState() == 0 {
		return invalid("keyspace in state %d", m.GetState())
	}
	if m.GetExpectedSpans() < 0 {
		return invalid("keyspace expects %d spans", m.GetExpectedSpans())
	}
	err := firstError(checkName("workload", m.GetWorkload()), checkOptionalName("operator", m.GetCreatedBy()),
		checkRequests(m.GetRequests()))
	if err != nil || m.GetPending() == nil {
		return err
	}
	return checkIntent(m.GetPending())
}

// EncodeHistory is the stored form of h.
func EncodeHistory(h History) []byte {
	return encode(&storev1.History{
		Intent: encodeIntent(&h.Intent), Outcome: h.Outcome, FinishedAt: nanos(h.FinishedAt), Error: text(h.Error),
		Ranges: each(h.Ranges, encodeRange),
	})
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
	return History{
		Intent: decodeIntent(m.GetIntent()), Outcome: m.GetOutcome(), FinishedAt: moment(m.GetFinishedAt()),
		Error: m.GetError(), Ranges: each(m.GetRanges(), decodeRange),
	}, nil
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
	return checkIntent(m.GetIntent())
}
