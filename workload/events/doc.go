// Package events writes down, for readers outside, when spans are opened, renewed and closed by this process.
//
// What for: whoever wants to check from outside that no key ever had two owners needs the moments at which each process
// began and ceased to own each span, on one clock per host. A [Recorder] writes them as JSON lines, for any workload.
//
// What is promised: every event is one write to the sink, so that processes may share a file opened with O_APPEND.
// Times are CLOCK_BOOTTIME, read just before the write. "opened" is written after Open has returned and "closed" after
// Close has, so the ownership that the lines show lies within the true one at its start and contains it at its end;
// may_act_until_boottime_ns is what was true at the moment of writing. No line of a span follows its "closed" or
// "aborted" before the next "open_start". In these two and in "fenced" the moment is no later than the line: nothing
// acts afterwards.
//
// What is not: a line that cannot be written (disk full) is lost; that is logged and the work goes on. Nothing is synced:
// a crash of the host may lose the tail, a crash of the process may not.
//
// How it is used:
//
//	rec, err := events.New(events.Config{Clock: clock, Log: log})
//	workload = rec.Wrap(workload, file)
//	d, err := dispatcher.New(dispatcher.Config{Clock: clock, Observer: rec, …}, …)
//
// Who may call what: Renewed and Fenced may be called from any goroutine; they write one line for every span that runs. The
// first Renewed must come before the first Open, or that line shows no right to act.
package events
