// Command mutants proves that tests can fail: it takes one rule after another out of the code and shows which test
// notices.
//
// What for: the rules that keep Spanward safe are small (a compare in a transaction, an order of two steps, a revision
// plus one), and the code runs as well without them, until something dies at the wrong moment. A test that stays green
// without the rule that it is there for proves nothing.
//
// What is promised: each row of the table is compiled with one rule less, by an overlay, so that the tree is not
// touched; the named test passes without the change and fails with it. A mutant that survives is an error, and so are
// one that does not compile, one whose place in the code is not found exactly once, and a failure that no test reports.
//
// What is not: that every rule has a row. A new rule of DESIGN's kind (a compare, an order, a bound) deserves one.
//
// How it is used: `make mutants`, for some of them `make mutants ONLY='lease|claim'`. It takes minutes, so `make test`
// only checks, with the test of this package, that the table still fits the code.
//
// Who may call: nobody; it is a program, and it knows the code by its text only.
package main
