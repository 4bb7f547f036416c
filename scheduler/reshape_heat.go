package scheduler

// heat of a span, by what it reported last.
type heat uint8

const (
	// tepid: nothing is done about it.
	tepid heat = iota
	hot
	cold
)

// heat: what is hot is not cold, whatever the thresholds say.
func (c ReshapeConfig) heat(l Load) heat {
	switch {
	case over(l.Load, c.SplitLoad) || over(l.Size, c.SplitSize):
		return hot
	case c.chills(l):
		return cold
	}
	return tepid
}

func over(x, threshold float64) bool { return threshold > 0 && x > threshold }

// chills: a span of that load and size, or several together, are cold.
func (c ReshapeConfig) chills(l Load) bool {
	return c.MergeLoad > 0 && l.Load >= 0 && l.Load <= c.MergeLoad && (c.MergeSize == 0 || l.Size >= 0 && l.Size <= c.MergeSize)
}

// merges: spans that have this together may become one. It must be well below what it would be split at, or it would be split
// as soon as it has a little more to do.
func (c ReshapeConfig) merges(l Load) bool {
	return c.chills(l) && !atLeastHalf(l.Load, c.SplitLoad) && !atLeastHalf(l.Size, c.SplitSize)
}

func atLeastHalf(x, threshold float64) bool { return threshold > 0 && x >= threshold/2 }

// excess is how many times the threshold a hot span has: the larger one of load and size.
func (c ReshapeConfig) excess(l Load) float64 {
	x := 0.0
	if over(l.Load, c.SplitLoad) {
		x = l.Load / c.SplitLoad
	}
	if over(l.Size, c.SplitSize) {
		x = max(x, l.Size/c.SplitSize)
	}
	return x
}

// together adds up what is known.
func (l Load) together(o Load) Load {
	return Load{Load: addKnown(l.Load, o.Load), Size: addKnown(l.Size, o.Size)}
}

func addKnown(a, b float64) float64 {
	switch {
	case a < 0:
		return b
	case b < 0:
		return a
	}
	return a + b
}
