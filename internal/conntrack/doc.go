// Package conntrack reads the kernel's table of connections in one network namespace, and sets or clears on single ones the
// label by which the table of package program drops what policies do not allow any more.
//
// It must never decide which connection that is, start a program, or change any other label, mark or timeout of a connection.
package conntrack
