package mirror

// stir is by which part a number must have moved before somebody is told: a leader with a hundred thousand spans would
// else hear of all of them all the time, and decide nothing by it.
const stir = 0.05

// A needle shows a number, and stands still while that moves by little.
type needle float64

// follow shows x if it is far enough from what is shown, and nothing at all if it is below the least.
func (n *needle) follow(x, least float64) float64 {
	shown := float64(*n)
	switch {
	case x < least:
		*n = 0
	case x-shown >= stir*shown, shown-x >= stir*shown:
		*n = needle(x)
	}
	return float64(*n)
}
