// Package txn describes etcd transactions as values.
//
// What for: the rules that keep Spanward safe are compares in transactions. As values they can be built by pure
// functions, printed in tests, run against a model of etcd, and sent to the real one by internal/etcdx.
//
// What is promised: a Part is atomic. Parts of a batch share the outer compares and are otherwise independent:
// one refused part does not refuse the others, and all see the state before the batch.
//
// What is not: that parts of one batch land together. What must land together is one Part.
//
// How it is used: operator builds a Part, etcdx.Run sends batches and settles unknown outcomes.
//
// Who may call: anybody; these are plain values.
package txn

// Cmp compares one revision of a key. Rev 0 of either kind means that the key is absent.
type Cmp struct {
	Key string
	By  CmpBy
	Rev int64
}

// CmpBy says which revision of a key a Cmp looks at.
type CmpBy uint8

const (
	// ByMod compares the mod revision: nothing changed.
	ByMod CmpBy = iota + 1
	// ByCreate compares the create revision: the same key, whatever its value now.
	ByCreate
)

// At holds while key is at mod revision rev.
func At(key string, rev int64) Cmp { return Cmp{key, ByMod, rev} }

// Created holds while the key made at revision rev exists.
func Created(key string, rev int64) Cmp { return Cmp{key, ByCreate, rev} }

// Absent holds while there is no such key.
func Absent(key string) Cmp { return Cmp{key, ByCreate, 0} }

// Op puts or deletes one key.
type Op struct {
	Key    string
	Value  []byte
	Delete bool
	// Leased puts carry the lease of the process that sends the transaction.
	Leased bool
}

// Put writes a key without a lease.
func Put(key string, value []byte) Op { return Op{Key: key, Value: value} }

// PutLeased writes a key on the sender's own lease.
func PutLeased(key string, value []byte) Op { return Op{Key: key, Value: value, Leased: true} }

// Delete deletes a key.
func Delete(key string) Op { return Op{Key: key, Delete: true} }

// Part is one atomic change.
type Part struct {
	If   []Cmp
	Then []Op
	// Witness are further keys that a refusal reads, beside those compared, so that it can be explained.
	Witness []string
	// Mine recognises, in what a refusal found, the trace of this very part: an earlier sending whose answer was
	// lost. Nil means that it cannot be recognised.
	Mine func(Found) bool
}

// Batch is sent as one etcd transaction.
type Batch struct {
	// Outer compares are shared by all parts; if one fails, nothing was done.
	Outer []Cmp
	Parts []Part
}

// KV is what a refusal found under one key.
type KV struct {
	Value    []byte
	Mod      int64
	Create   int64
	Lease    int64
	Version  int64
	Revision int64 // of the read
}

// Found maps keys to what was read; absent keys are missing.
type Found map[string]KV

// Outcome of one part.
type Outcome uint8

const (
	// Refused: a compare failed and nothing was done.
	Refused Outcome = iota
	// Done: the part is in etcd.
	Done
	// Fenced: an outer compare failed, nothing of the batch was done.
	Fenced
)

// Result of one part. Revision is that of the transaction if it was Done just now, of the read otherwise.
type Result struct {
	Outcome  Outcome
	Revision int64
	Found    Found
	// Earlier: the part was found done by an earlier sending of the same batch; Revision is then the read's.
	Earlier bool
}
