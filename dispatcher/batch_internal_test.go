package dispatcher

import (
	"testing"

	"github.com/spanward/spanward/operator"
)

// A swap shares its transaction with nothing, wherever it stands in the queue.
func TestSwapsTravelAlone(t *testing.T) {
	other, alone := request{}, request{send: operator.Send{Alone: true}}
	for _, c := range []struct {
		list []request
		want int
	}{
		{nil, 0},
		{[]request{other, other}, 2},
		{[]request{other, other, alone, other}, 2},
		{[]request{alone, other}, 1},
		{[]request{alone, alone}, 1},
	} {
		if got := together(c.list); got != c.want {
			t.Errorf("%d of %d travel together, want %d", got, len(c.list), c.want)
		}
	}
}
