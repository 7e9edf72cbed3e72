package netns_test

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
)

func TestMain(m *testing.M) {
	if os.Getenv("SALLYPORT_ENTER") != "" {
		enter()
		return
	}
	netnstest.Main(m)
}

// enter makes a namespace and enters it from the first goroutine of a process, as a command does, and says where the process is
// before and after.
func enter() {
	before, _ := os.Readlink("/proc/self/ns/net")
	for range 20 {
		ns, err := netns.New()
		if err == nil {
			err = ns.Do(func() error { return nil })
		}
		if err == nil {
			err = ns.Close()
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	after, _ := os.Readlink("/proc/self/ns/net")
	fmt.Println(before == after)
}

// TestTheProcessStays: the first thread of a process says to others in which namespace the process is, and never ends before it.
func TestTheProcessStays(t *testing.T) {
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), "SALLYPORT_ENTER=1")
	if out, err := c.CombinedOutput(); err != nil || string(out) != "true\n" {
		t.Errorf("%v %s", err, out)
	}
}
