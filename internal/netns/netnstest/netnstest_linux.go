// Package netnstest gives tests network namespaces, whoever runs them. The product must never import it.
package netnstest

import (
	"os"
	"os/exec"
	"regexp"
	"testing"

	"sallyport.dev/sallyport/internal/netns"
)

// New makes a namespace that lasts as long as the test.
func New(t testing.TB) *netns.Namespace {
	t.Helper()
	n, err := netns.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// Main runs the tests of a package as root: for an ordinary user that is root of a user namespace.
func Main(m *testing.M) {
	if os.Geteuid() == 0 {
		os.Exit(m.Run())
	}
	c := again(os.Args[1:]...)
	if err := c.Run(); err != nil {
		println("tests as root of a user namespace:", err.Error())
		os.Exit(1)
	}
}

// Root tells whether a test runs as root. For an ordinary user it runs the test once more, as root of a user namespace, whose
// outcome becomes the test's, and tells the caller to return.
func Root(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	c := again("-test.run", "^"+regexp.QuoteMeta(t.Name())+"$", "-test.v")
	if err := c.Run(); err != nil {
		t.Fatalf("as root of a user namespace: %v", err)
	}
	return false
}

func again(args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], args...)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = netns.Rootless()
	return c
}
