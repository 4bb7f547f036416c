package output

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spanward/spanward/internal/fault"
)

// Format is how an answer is printed.
type Format string

// The formats.
const (
	Table Format = "table"
	JSON  Format = "json"
	Wide  Format = "wide"
)

// Formats lists the formats.
func Formats() []string { return []string{string(Table), string(JSON), string(Wide)} }

// ParseFormat reads what -o holds.
func ParseFormat(s string) (Format, error) {
	switch f := Format(s); f {
	case Table, JSON, Wide:
		return f, nil
	}
	return "", fault.New(fault.InvalidArgument, "is not an output format").On("--output", s).
		Fix("use %s", strings.Join(Formats(), ", "))
}

// Printer prints answers.
type Printer struct {
	Out    io.Writer
	Format Format
}

// JSON prints one line of JSON. Keys of ranges are printed for people, too: '<' stays '<'.
func (p Printer) json(v any) error {
	enc := json.NewEncoder(p.Out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// list prints a list under its name.
func list[T any](p Printer, name string, items []T, cols []column[T]) error {
	if p.Format == JSON {
		return p.json(map[string][]T{name: some(items)})
	}
	if len(items) == 0 {
		_, err := fmt.Fprintf(p.Out, "no %s\n", name)
		return err
	}
	return writeTable(p.Out, p.Format == Wide, items, cols)
}

// object prints one bare object.
func object[T any](p Printer, item T, cols []column[T]) error {
	if p.Format == JSON {
		return p.json(item)
	}
	return describe(p.Out, item, cols)
}
