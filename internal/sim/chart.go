package sim

import (
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// The chart is plots that stand below each other and share the axis of time, and a list of the events below them. It takes
// its colours from whether the reader prefers light or dark.
const (
	chartWidth  = 900
	plotLeft    = 64
	plotWidth   = chartWidth - plotLeft - 24
	plotHeight  = 130
	plotGap     = 58
	chartTop    = 86
	lineHeight  = 18
	shownEvents = 24
)

const chartStyle = `
svg { background: #fff; color: #222; font: 12px system-ui, sans-serif }
text { fill: currentColor }
.title { font-size: 16px; font-weight: 600 }
.head { font-weight: 600 }
.quiet { opacity: .65 }
.axis { stroke: currentColor; opacity: .5 }
.grid { stroke: currentColor; opacity: .12 }
.event { stroke: currentColor; opacity: .45; stroke-dasharray: 3 3 }
.line { fill: none; stroke-width: 1.6; stroke-linejoin: round }
.a { stroke: #1f6feb } .b { stroke: #d9730d }
@media (prefers-color-scheme: dark) {
  svg { background: #16181d; color: #ddd }
  .a { stroke: #6cb6ff } .b { stroke: #f0a050 }
}
`

// plot is one of them.
type plot struct {
	head string
	// least is where its axis begins.
	least  float64
	series []series
}

// series is a line, with its class of colour.
type series struct {
	name, class string
	points      []point
}

// point at a share of the time.
type point struct{ at, y float64 }

// WriteChart draws a result as SVG.
func (r *Result) WriteChart(w io.Writer) error {
	plots := r.plots()
	c := &canvas{end: ms(r.DurationMS)}
	events := r.Events[min(1, len(r.Events)):] // the first is the start
	height := chartTop + len(plots)*(plotHeight+plotGap) + min(len(events), shownEvents+1)*lineHeight + 8
	c.add(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`, chartWidth, height, chartWidth, height)
	c.add(`<title>%s</title><style>%s</style>`, escaped(r.title()), chartStyle)
	c.text(plotLeft, 26, "title", r.title())
	c.text(plotLeft, 46, "quiet", fmt.Sprintf("%s in virtual time. %s.", brief(c.end), r.Operators.text()))
	y := chartTop
	for _, p := range plots {
		c.plot(p, y, events)
		y += plotHeight + plotGap
	}
	for i, e := range events {
		if i == shownEvents {
			c.text(plotLeft, y, "quiet", fmt.Sprintf("and %d more", len(events)-i))
			break
		}
		c.text(plotLeft, y, "", fmt.Sprintf("%d  %s: %s", i+1, brief(ms(e.AtMS)), e.Event))
		y += lineHeight
	}
	c.add("</svg>")
	_, err := io.WriteString(w, c.b.String())
	return err
}

func (r *Result) plots() []plot {
	line := func(name, class string, of func(s, before Sample) *float64) series {
		out := series{name: name, class: class}
		var before Sample
		for _, s := range r.Samples {
			if y := of(s, before); y != nil {
				out.points = append(out.points, point{float64(s.AtMS) / float64(max(r.DurationMS, 1)), *y})
			}
			before = s
		}
		out.points = peaks(out.points)
		return out
	}
	number := func(n int) *float64 { x := float64(n); return &x }
	ended := func(s Sample) int { return s.Moves + s.Openings + s.Splits + s.Merges }
	return []plot{
		{"What the fullest node carries, as a multiple of the mean", 1, []series{
			line("spans", "a", func(s, _ Sample) *float64 { return s.SpansMaxMean }),
			line("load", "b", func(s, _ Sample) *float64 { return s.LoadMaxMean }),
		}},
		{"Operators", 0, []series{
			line("in flight", "a", func(s, _ Sample) *float64 { return number(s.InFlight) }),
			line("done since the last sample", "b", func(s, before Sample) *float64 { return number(ended(s) - ended(before)) }),
		}},
		{"Spans without an owner", 0, []series{
			line("spans", "a", func(s, _ Sample) *float64 { return number(s.Unowned) }),
		}},
	}
}

// peaks keeps the highest point of each pixel: more cannot be seen.
func peaks(in []point) []point {
	if len(in) <= plotWidth {
		return in
	}
	var out []point
	last := -1
	for _, p := range in {
		pixel := int(p.at * plotWidth)
		switch {
		case pixel != last:
			out = append(out, p)
			last = pixel
		case p.y > out[len(out)-1].y:
			out[len(out)-1] = p
		}
	}
	return out
}

// canvas is a chart that is being drawn.
type canvas struct {
	b   strings.Builder
	end time.Duration
}

func (c *canvas) add(format string, args ...any) { fmt.Fprintf(&c.b, format+"\n", args...) }

func (c *canvas) text(x, y int, class, s string) {
	c.add(`<text x="%d" y="%d" class="%s">%s</text>`, x, y, class, escaped(s))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	c.add(`<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`, class, x1, y1, x2, y2)
}

func (c *canvas) plot(p plot, top int, events []Followed) {
	bottom := float64(top + plotHeight)
	c.text(plotLeft, top-18, "head", p.head)
	c.legend(p, top-18)
	step, most := scale(p)
	height := func(y float64) float64 { return bottom - (y-p.least)/(most-p.least)*plotHeight }
	for y := p.least; y <= most+step/2; y += step {
		c.line("grid", plotLeft, height(y), plotLeft+plotWidth, height(y))
		c.add(`<text x="%d" y="%.1f" text-anchor="end" class="quiet">%s</text>`, plotLeft-8, height(y)+4, tick(y))
	}
	c.line("axis", plotLeft, bottom, plotLeft+plotWidth, bottom)
	c.times(bottom)
	for i, e := range events {
		x := plotLeft + plotWidth*float64(e.AtMS)/float64(max(c.end.Milliseconds(), 1))
		c.line("event", x, float64(top), x, bottom)
		if len(events) <= shownEvents {
			c.add(`<text x="%.1f" y="%d" text-anchor="middle" class="quiet">%d<title>%s</title></text>`, x, top-3, i+1, escaped(e.Event))
		}
	}
	for _, s := range p.series {
		var points []string
		for _, at := range s.points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", plotLeft+plotWidth*at.at, height(max(at.y, p.least))))
		}
		if len(points) > 0 {
			c.add(`<polyline class="line %s" points="%s"/>`, s.class, strings.Join(points, " "))
		}
	}
}

// legend names the lines, at the right end.
func (c *canvas) legend(p plot, y int) {
	x := plotLeft + plotWidth
	for i := len(p.series) - 1; i >= 0; i-- {
		s := p.series[i]
		if len(s.points) == 0 {
			continue
		}
		c.add(`<text x="%d" y="%d" text-anchor="end">%s</text>`, x, y, escaped(s.name))
		x -= 7*len(s.name) + 10 // about as wide as the text
		c.line("line "+s.class, float64(x-18), float64(y-4), float64(x), float64(y-4))
		x -= 34
	}
}

// times are the ticks of the axis of time.
func (c *canvas) times(bottom float64) {
	step := timeStep(c.end)
	for at := time.Duration(0); at <= c.end; at += step {
		x := plotLeft + plotWidth*float64(at)/float64(c.end)
		c.line("axis", x, bottom, x, bottom+4)
		c.add(`<text x="%.1f" y="%.1f" text-anchor="middle" class="quiet">%s</text>`, x, bottom+17, brief(at))
	}
}

// ticks is about how many an axis has.
const ticks = 4

// scale gives the step of an axis, and its end, which is a whole number of steps from its beginning.
func scale(p plot) (step, most float64) {
	for _, s := range p.series {
		for _, at := range s.points {
			most = max(most, at.y)
		}
	}
	span := max(most-p.least, 0.1)
	if p.least == 0 {
		span = max(span, ticks)
	}
	step = math.Pow(10, math.Floor(math.Log10(span/ticks)))
	for _, m := range []float64{1, 2, 5, 10} {
		if span/(m*step) <= ticks+1 {
			step *= m
			break
		}
	}
	return step, p.least + math.Ceil(span/step-1e-9)*step
}

func tick(y float64) string {
	if y >= 1000 {
		return grouped(int64(y))
	}
	return short(math.Round(y*1000) / 1000)
}

// timeStep is a round time of which there are not too many in all.
func timeStep(end time.Duration) time.Duration {
	const most = 12
	for _, d := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
	} {
		if end/d <= most {
			return d
		}
	}
	return 28 * 24 * time.Hour
}

// escaped is text as it stands in XML. A byte that XML cannot hold becomes a replacement.
func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a builder takes everything
	return b.String()
}
