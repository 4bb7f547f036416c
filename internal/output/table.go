package output

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// column is one column of a table, or one line of the description of a single object.
type column[T any] struct {
	head string
	// wide columns are left out of normal tables.
	wide bool
	cell func(T) string
}

// maxCell bounds a cell of a normal table, in characters: keys may have thousands of bytes.
const maxCell = 40

// writeTable prints one line for each item. The columns that are not wide must fit on a screen.
func writeTable[T any](w io.Writer, wide bool, items []T, cols []column[T]) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	var head []string
	for _, c := range cols {
		if wide || !c.wide {
			head = append(head, c.head)
		}
	}
	row(tw, head)
	for _, item := range items {
		var cells []string
		for _, c := range cols {
			if wide || !c.wide {
				cells = append(cells, cell(c.cell(item), wide))
			}
		}
		row(tw, cells)
	}
	return tw.Flush()
}

func row(w io.Writer, cells []string) {
	fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t "))
}

// cell makes one cell of a text: never empty, which columns would swallow, and short.
func cell(s string, wide bool) string {
	if s == "" {
		return "-"
	}
	s = strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if wide || utf8.RuneCountInString(s) <= maxCell {
		return s
	}
	runes := []rune(s)
	return string(runes[:maxCell-1]) + "…"
}

// describe prints one object, a line for each column.
func describe[T any](w io.Writer, item T, cols []column[T]) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range cols {
		name := strings.ToLower(c.head)
		for line := range strings.SplitSeq(strings.TrimRight(c.cell(item), "\n"), "\n") {
			row(tw, []string{name, cell(line, true)})
			name = "" // further lines of the same field
		}
	}
	return tw.Flush()
}
