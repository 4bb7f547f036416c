// Package tools holds the module files of the programs that build and check this repository, and tests about the
// repository itself.
//
// What for: each tool has a module file of its own, so that a linter's hundred dependencies decide nothing about the
// versions this project is built with, and `go tool -modfile=…` builds it from source at the version committed here.
//
// What is promised: every direct dependency is explained in docs/dependencies.md, every package has a floor, and no
// floor reaches through others for what it may not import itself.
//
// What is not: that direct imports keep to the floors; that is .golangci.yml.
//
// How it is used: `make lint`, `make generate`; `go test ./internal/tools`.
//
// Who may call: nobody; there is nothing to import.
package tools
