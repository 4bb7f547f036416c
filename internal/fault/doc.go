// Package fault is how Spanward tells a person, or a script, what went wrong.
//
// What for: every error that a user may see carries a stable reason, the field and the value it is about, one sentence of
// what is wrong and one of what to do. The reason decides the class, and the class the exit code of the command line.
//
// What is promised: a reason, once published, keeps its spelling and its exit code. Error gives one line, whatever
// bytes the value holds. The JSON form of an Error is the object the contract puts under "error".
//
// What is not: the wording of messages and remedies may change at any time, and the cause does not cross a process. Branch on
// the reason with [Is], never on text. Errors that never leave a package need no reason; sentinels do.
//
// How it is used:
//
//	return fault.New(fault.UnknownNode, "no node of this name is registered").
//		On("to", name).
//		Fix("choose one of `spanward node list`")
//
// Who may call it: anyone, from any floor and any goroutine; it has no state. An Error is built by one goroutine and
// not changed after it has been returned.
package fault
