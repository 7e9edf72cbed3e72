package kernel

// Conn is the socket, into which tests put faults.
type Conn = conn

// Dial opens a real one.
var Dial = dial

// OpenWith opens a table by a socket of the test's.
var OpenWith = open

// Errors by which the test tells what the kernel did.
var (
	ErrRefused  = errRefused
	ErrTooLarge = errTooLarge
	ErrOther    = errOther
)
