// Command spanward is the whole of Spanward: its servers, and the command line to steer them.
//
// What for: one binary that runs as maintainer, dispatcher, etcd or all of them at once (`spanward dev`), and that people and
// scripts use to look and to change things.
//
// What is promised: names, formats and exit codes are those of the contract in docs/. Exit codes: 0 done; 1 failed, cancelled,
// unequal or violated; 2 usage; 3 conflict, refused or unknown name; 4 unavailable or timeout, outcome unknown. A flag goes
// before its environment variable, and that before the default. The first signal stops cleanly, the second kills.
//
// What is not: tables and log texts may change at any time; use -o json.
//
// How it is built: run is main without the process, so that tests call it; every group of commands has a file; commands talk
// to the cluster through package client and print through internal/output.
//
// Who may call it: it is a program; nothing imports it.
package main
