package sim

import (
	"math"
	"math/rand/v2"
	"time"
)

// deal gives n spans their amounts, whose mean is that of the keyspace. Which of them get how much is left to chance.
func (a Amount) deal(rng *rand.Rand, n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = a.share(rng, i)
	}
	sum := 0.0
	for _, x := range out {
		sum += x
	}
	for i := range out {
		out[i] *= a.Mean * float64(n) / sum
	}
	rng.Shuffle(n, func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// share of the i-th span, in no unit.
func (a Amount) share(rng *rand.Rand, i int) float64 {
	switch a.Among {
	case AmongUniform:
		return rng.Float64() + math.SmallestNonzeroFloat64 // not all of them are zero
	case AmongZipf:
		return math.Pow(float64(i+1), -a.Exponent)
	case AmongEqual:
	}
	return 1
}

// factor of the curve.
func (l Load) factor(at time.Duration) float64 {
	phase := func() float64 { return float64(at%l.Period) / float64(l.Period) }
	switch l.Curve {
	case CurveSquare: // a peak goes first
		if phase() < 0.5 {
			return l.High
		}
		return l.Low
	case CurveSine:
		return l.Low + (l.High-l.Low)*(1-math.Cos(2*math.Pi*phase()))/2
	case CurveSteady:
	}
	return 1
}

// material: a change that is worth a report.
func material(was, is float64) bool { return math.Abs(is-was) > 0.05*math.Abs(was) }

// step changes an amount by chance, and keeps it within two orders of magnitude of the mean.
func (l Load) step(rng *rand.Rand, x float64) float64 {
	x *= math.Exp(math.Log1p(l.By) * (2*rng.Float64() - 1))
	return min(max(x, l.Mean/100), l.Mean*100)
}
