package node

// Listen, Tell, Counts and Gap are for tests, which put faults into a socket and show what is heard.
var (
	Listen = listen
	Tell   = watch
	Counts = counts
)

const Gap = gap
