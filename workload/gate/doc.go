// Package gate is a workload for tests: it does nothing, and files in a directory decide when it opens, closes, fails, and
// what it reports.
//
// What for: whoever tests a cluster, from Go or from a shell, wants to hold five spans between "asked" and "opened", kill
// something, and let go.
//
//	hold-open[.<span>]    opening waits while the file exists; if it holds text, opening fails with that text
//	hold-close[.<span>]   the same for closing
//	checkpoint[.<span>]   the position to report: a number; without the file, the one that the span was opened with
//	load[.<span>]         the load to report: a number
//	size[.<span>]         the size to report: a number
//	split-keys.<span>     keys to propose for a split, one a line, escaped as everywhere
//
// A file with the span's id goes before the one without. Files that hold something else are reported as the span's error.
//
// What is promised: a hold is noticed when the opening or closing begins, and its end within 20 ms. One goroutine looks
// at the directory for all spans of the process, at holds only while something waits for one. Positions are reported
// exactly as the files say, also when they go back: what the cluster does then is worth testing.
//
// What is not: there is no sink, so there is nothing that a token could fence.
//
// How it is used:
//
//	g, err := gate.New(gate.Config{Dir: dir})
//	go g.Run(ctx) // without it nothing that waits gets on
//	log, err := events.OpenFile(gate.EventsPath(dir))
//	workload := recorder.Wrap(g, log)
//
// Who may call what: Run once; the rest as for any dispatcher.Workload.
package gate
