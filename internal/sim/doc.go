// Package sim runs the planners of the scheduler over a described cluster, in virtual time.
//
// What for: `spanward simulate`. Sizes beyond one machine are planned with it, settings are tried out on it, and what people
// complain about most in schedulers (moving to and fro, piling everything up, one operation that stops the rest) is tested
// with it, an example of docs/simulations for each.
//
// What is promised: the planners are those of the control plane, asked in the order and with the budgets of its leader; the
// same scenario gives the same result, to the byte. What a turn costs follows from what has changed, so that an hour of a
// million spans takes seconds. What is wrong in a file is an error that names the field, the value and what to do, before
// anything has run.
//
// What is not: there is no etcd, no network and no other process. An opening takes as long as the file says, a change of
// leader does not happen, and a claim is never lost. How safe the control plane is has to be tested elsewhere: see
// internal/explore and integration.
//
// How it is used:
//
//	sc, err := sim.Parse(text)
//	result, err := sim.Run(ctx, sc)
//	err = result.WriteTable(os.Stdout, false)
//
// Who may call: the command line and tests. One run is one goroutine; runs are independent of each other.
package sim
