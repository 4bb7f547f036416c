package txn

// Once reports whether a part cannot be carried out twice: something that it compares is no longer so once it was
// done. A transaction whose answer was lost is sent again, and both sendings may land, in any order and much
// later; a part that writes and is not Once may then overwrite what came in between.
//
// The outer compares do not help: a term or a session lasts longer than one transaction.
func (p Part) Once() bool {
	for _, c := range p.If {
		for _, op := range p.Then {
			if c.Key == op.Key && c.falsifiedBy(op) {
				return true
			}
		}
	}
	return len(p.Then) == 0
}

func (c Cmp) falsifiedBy(op Op) bool {
	switch {
	case c.Rev == 0:
		return !op.Delete
	case c.By == ByMod:
		return true
	}
	return op.Delete // a put keeps the create revision
}
