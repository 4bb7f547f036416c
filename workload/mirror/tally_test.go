package mirror

import (
	"testing"

	"pgregory.net/rapid"
)

// Counts are answered late, while the source goes on changing and the changes are told later still; answers are lost, and
// some changes are never told. The tally is exact whenever everything up to a revision was told, after a count that
// was begun since something was missed.
func TestTallyIsExact(t *testing.T) {
	type count struct {
		run  int
		keys int64
	}
	rapid.Check(t, func(t *rapid.T) {
		at := []int64{rapid.Int64Range(0, 5).Draw(t, "keys")} // how many there are at each revision
		told := 0
		var c tally
		var asked *count
		exact := false
		t.Repeat(map[string]func(*rapid.T){
			"change": func(t *rapid.T) {
				at = append(at, max(0, at[len(at)-1]+rapid.Int64Range(-1, 1).Draw(t, "by")))
			},
			"tell": func(*rapid.T) {
				if told+1 < len(at) {
					told++
					c.changed(int64(told), at[told]-at[told-1])
				}
			},
			"miss": func(*rapid.T) {
				told = len(at) - 1
				c.missed()
				exact = false
			},
			"ask": func(t *rapid.T) {
				if asked == nil {
					// At most what the source has, and at least what was told.
					rev := rapid.IntRange(told, len(at)-1).Draw(t, "at")
					asked = &count{c.begin(int64(rev)), at[rev]}
				}
			},
			"lose": func(*rapid.T) {
				// The changes between what was told and the revision asked for are left out for good.
				if asked != nil {
					c.missed()
					exact, asked = false, nil
				}
			},
			"answer": func(*rapid.T) {
				if asked == nil {
					return
				}
				exact = c.counted(asked.run, asked.keys) || exact
				asked = nil
			},
			"": func(t *rapid.T) {
				if asked != nil || !exact || int64(told) < c.at {
					return
				}
				if size := c.size(); size == nil || *size != float64(at[told]) {
					t.Fatalf("%+v, there are %d", c, at[told])
				}
			},
		})
	})
}

func TestNeedleStandsStill(t *testing.T) {
	var n needle
	for _, step := range []struct{ x, want float64 }{
		{0, 0}, {0.5, 0}, {100, 100}, {104.9, 100}, {95.1, 100}, {105, 105}, {99, 99}, {2, 2}, {0.9, 0}, {1, 1},
	} {
		if got := n.follow(step.x, 1); got != step.want {
			t.Errorf("%v is shown as %v, want %v", step.x, got, step.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		var n needle
		for _, x := range rapid.SliceOf(rapid.Float64Range(0, 1000)).Draw(t, "xs") {
			got := n.follow(x, 1)
			if x >= 1 && (got > x/(1-stir)*1.001 || got < x/(1+stir)*0.999) || x < 1 && got != 0 {
				t.Fatalf("%v is shown as %v", x, got)
			}
		}
	})
}
