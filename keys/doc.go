// Package keys spells and reads every etcd key of Spanward; nothing else may put one together or take one apart.
//
// What for: a cluster lives under one prefix, and what a key means follows from its text alone. docs/keys.md, which a test of
// this package writes, shows the whole layout.
//
// What is promised: every builder has its inverse in [Layout.Parse], which accepts exactly what the builders make from
// good names and nothing that merely looks like it. Prefixes end in '/', so that a watch of `spans/a/` cannot see
// `spans/ab/`. A layout is a value: several clusters may live in one process.
//
// What is not: builders do not check names, since they come from records and requests where [CheckName] was called when they
// entered. A key built from a bad name does not parse. Bounds of ranges are values, never parts of keys.
//
// How it is used:
//
//	layout, err := keys.New("default")
//	key := layout.Span("orders", "812-3.0")
//	parsed, err := layout.Parse(key) // {Kind: keys.Span, Keyspace: "orders", Span: "812-3.0"}
//
// Who may call it: anyone, from any goroutine.
package keys

//go:generate go test . -run TestDocsShowTheLayout -update
