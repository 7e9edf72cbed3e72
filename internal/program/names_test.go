package program_test

import (
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/oracle"
)

type (
	snapshot = cluster.Snapshot
	pod      = cluster.Pod
	options  = oracle.Options
)
