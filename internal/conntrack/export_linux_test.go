package conntrack

// Conn is the socket, into which tests put faults.
type Conn = conn

// Dial opens a real one.
var Dial = dial

// OpenWith opens a Socket by a netlink socket of the test's.
var OpenWith = open

// DumpWith visits what a socket of the test's says.
var DumpWith = dump
