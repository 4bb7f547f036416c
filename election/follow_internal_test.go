package election

import "testing"

// What a watch brings late must not undo what was read since.
func TestFollowerNeverGoesBack(t *testing.T) {
	f := &follower{}
	f.learn(Holder{Term: 5, Revision: 9})
	f.learn(Holder{Term: 4, Revision: 4})
	if f.cur.Term != 5 {
		t.Errorf("went back to term %d", f.cur.Term)
	}
	f.learn(Holder{Revision: 10})
	if f.cur.Term != 0 {
		t.Errorf("missed the end of term %d", f.cur.Term)
	}
}
