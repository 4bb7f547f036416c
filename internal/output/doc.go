// Package output prints what the command line answers: as a table for people, or as the JSON of the contract.
//
// What for: scripts and dashboards of others are written against the JSON, so its shapes stand in one place, as Go types
// with their fields in the documented order, and golden tests hold them.
//
// What is promised: every field is present in every object. What is unknown, or not there (the node of a span that nobody
// owns), is null, never 0; an operator in flight has the outcome ""; lists and maps are never null. Keys of ranges are escaped as they are typed. Lists are sorted, so that two calls
// can be compared. Tables may change at any time.
//
// What is not: nothing is asked of a server here, and errors are printed by the command.
//
// How it is used:
//
//	p := output.Printer{Out: os.Stdout, Format: output.JSON}
//	err := p.Spans(spans)
//
// Who may call it: the command line. It has no state.
package output
