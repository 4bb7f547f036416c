package scheduler

import (
	"strconv"

	"github.com/spanward/spanward/internal/fault"
)

// The weights that a node may be given. Beyond them it would carry everything or nothing, which is what a cordon and rules
// are for.
const (
	LeastWeight = 0.01
	MostWeight  = 100
)

// CheckWeight refuses what is no weight of a node, with a sentence about what is.
func CheckWeight(w float64) error {
	if w >= LeastWeight && w <= MostWeight { // and no NaN
		return nil
	}
	return fault.New(fault.InvalidArgument, "is no weight of a node").On("weight", strconv.FormatFloat(w, 'g', -1, 64)).
		Fix("give a number from %g to %d; a node of weight 2 carries twice as much as one of weight 1", LeastWeight, MostWeight)
}
