// Package failpoint lets a test stop, delay or kill a process at a named place: before or after every transaction and every
// message of the protocol.
//
// What for: the claim that any process may die at any moment is tested moment by moment. In one process a hook decides what
// happens; in real ones, built with -tags failpoint, the environment does.
//
// What is promised: a nil *Set, and any Set in which nothing is armed, does nothing. In tagged builds a name that is not in
// names.go panics where it is hit, armed or not, so it cannot be misspelled unnoticed. A binary without the tag refuses
// to start when SPANWARD_FAILPOINTS is set, rather than passing a test that injected nothing.
//
// What is not: a hit says nothing about whether what follows will succeed. A wait ends when its context does, and that is
// no error: the caller goes on and finds its context over by itself.
//
// How it is used:
//
//	if err := cfg.Failpoints.Hit(ctx, "dispatcher/move/handoff/before"); err != nil {
//		return err // the process is being killed: stop at once, clean up nothing
//	}
//
// and from outside
//
//	SPANWARD_FAILPOINTS='dispatcher/move/handoff/after=exit;maintainer/any/register/before=2*hold:/tmp/f'
//
// where an item is name=[N*]action, the action acts at hit N of the name (default 1), and is exit, sleep:DURATION or
// hold:FILE, which waits while FILE exists. Each hit of any name appends a line to $SPANWARD_FAILPOINT_LOG:
// name, number of the hit, pid, time, what was done ("-" for nothing).
//
// Who may call it: everything from floor 1 up, from any goroutine. Build a Set in main or in a test, pass it in configs.
package failpoint
