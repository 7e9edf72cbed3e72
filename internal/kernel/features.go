package kernel

// Features are what a kernel can that is of use and that not every kernel has which will do. SelfTest finds them.
type Features struct {
	// Owner: from Linux 6.9 on a table may belong to a socket, so that nobody else can change or flush it, and outlive it.
	Owner bool
}
