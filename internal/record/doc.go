// Package record holds what Spanward stores in etcd as Go values, and turns them into stored bytes and back.
//
// What for: everybody above the wire reasons about these values; only this package sees the protobuf of
// api/store/v1.
//
// What is promised: decoding is strict. A record that does not say what it must (an unknown enum, an inverted
// range, a claim without an actor) is an error, so that the view can quarantine it; encoding is deterministic,
// so that the same value gives the same bytes, and Decode(Encode(v)) == v.
//
// What is not: whether a record is consistent with its neighbours. That is the business of operator and audit.
//
// How it is used: record.DecodeSpan(kv.Value), then change the copy, then EncodeSpan.
//
// Who may call: anybody; there is no state here.
package record
