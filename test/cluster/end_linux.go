package cluster

import (
	"os/exec"
	"syscall"
)

// endWithUs makes the kernel end a program when the tests are killed before they can.
func endWithUs(c *exec.Cmd) { c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
