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
