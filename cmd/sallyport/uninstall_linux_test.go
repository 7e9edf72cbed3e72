package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/program"
)

// here runs the program in a namespace, and gives what it prints and its exit status.
func here(t *testing.T, ns *netns.Namespace, as *syscall.SysProcAttr, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, problems bytes.Buffer
	err := ns.Do(func() error {
		c := exec.Command(os.Args[0], args...)
		c.Args[0] = "sallyport"
		c.Stdout, c.Stderr = &out, &problems
		c.SysProcAttr = as
		return c.Run()
	})
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit != nil {
		status = exit.ExitCode()
	}
	return out.String(), problems.String(), status
}

// TestUninstall removes a table in a namespace of the test's own.
func TestUninstall(t *testing.T) {
	if !netnstest.Root(t) {
		return
	}
	ns := netnstest.New(t)
	f, err := kernel.SelfTest()
	if err != nil {
		t.Fatal(err)
	}
	table, err := kernel.Open(ns.FD(), f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Apply(&program.Program{}); err != nil {
		t.Fatal(err)
	}
	check := func(when string, as *syscall.SysProcAttr, status int, want string) {
		t.Helper()
		out, problem, got := here(t, ns, as, "uninstall")
		if got != status || !strings.Contains(out+problem, want) || strings.Count(out+problem, "\n") != 1 {
			t.Errorf("%s: %q %q, exit status %d", when, out, problem, got)
		}
	}
	if f.Owner {
		check("below an agent", nil, 1, "sallyport: uninstall: a running agent owns the table sallyport")
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	check("without rights in the namespace", &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}, 1, "run it as root")
	check("as root", nil, 0, "removed the table inet sallyport")
	check("once more", nil, 0, "nothing to remove")
}
