package mirror

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
)

// A line is one change in a file. The last line of a source transaction has TxnEnd.
type line struct {
	Rev    int64  `json:"rev"`
	TxnEnd bool   `json:"txn_end"`
	Op     string `json:"op"`
	Key    []byte `json:"key"`
	Value  []byte `json:"value"`
}

const (
	opPut    = "put"
	opDelete = "delete"
	// opReset begins a copy where there were lines before: all keys from key up to value (empty: no upper bound) are
	// gone, unless they follow.
	opReset = "reset"
)

// encodeGroup appends the lines of one source transaction.
func encodeGroup(b *bytes.Buffer, g group, m mapping) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	for i, c := range g.changes {
		l := line{Rev: g.rev, TxnEnd: i == len(g.changes)-1, Op: opDelete, Value: []byte{}}
		if c.put {
			l.Op, l.Value = opPut, append(l.Value, c.value...)
		}
		key, _ := m.key(c.key)
		l.Key = []byte(key)
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return nil
}

// tailBlock is how much of a file's end is read at once.
const tailBlock = 64 << 10

// lastEnd finds the last line that ends a transaction, from the end of the file: its revision, and where the next line
// begins. Both are 0 if there is none.
func lastEnd(f *os.File) (rev, next int64, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	var tail []byte // from `from` to the end of the lines not yet looked at
	for from := info.Size(); ; {
		if i := bytes.LastIndexByte(tail, '\n'); i >= 0 {
			if start := bytes.LastIndexByte(tail[:i], '\n') + 1; start > 0 || from == 0 {
				var l line
				if json.Unmarshal(tail[start:i], &l) == nil && l.TxnEnd {
					return l.Rev, from + int64(i) + 1, nil
				}
				tail = tail[:start]
				if start == 0 {
					return 0, 0, nil
				}
				continue
			}
		} else if from == 0 {
			return 0, 0, nil
		}
		n := min(int64(max(tailBlock, len(tail))), from)
		from -= n
		block := make([]byte, n, int(n)+len(tail))
		if _, err := f.ReadAt(block, from); err != nil && err != io.EOF {
			return 0, 0, err
		}
		tail = append(block, tail...)
	}
}
