// Package netns makes network namespaces and runs functions in them. It must never change the namespace of a thread that
// anything else runs on, nor leave one behind by a name.
package netns

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"

	"github.com/vishvananda/netns"
)

// Namespace is a network namespace. It lasts as long as it is open, or a process or an interface in it does.
type Namespace struct{ handle netns.NsHandle }

// New makes a namespace that has nothing but a loopback interface, which is down.
func New() (*Namespace, error) {
	var n *Namespace
	err := apart(func() error {
		h, err := netns.New()
		if err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		n = &Namespace{h}
		return nil
	})
	return n, err
}

// FD gives the file descriptor, for those who open sockets in the namespace.
func (n *Namespace) FD() int { return int(n.handle) }

// Close gives the namespace up.
func (n *Namespace) Close() error { return n.handle.Close() }

// Do runs a function on a thread that is in the namespace. Goroutines that it starts are not.
func (n *Namespace) Do(f func() error) error {
	return apart(func() error {
		if err := netns.Set(n.handle); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// In runs a function on a thread that is in the namespace which a file descriptor names, or on the caller's own where it is 0.
// Goroutines that it starts are not there.
func In(fd int, f func() error) error {
	if fd == 0 {
		return f()
	}
	return (&Namespace{netns.NsHandle(fd)}).Do(f)
}

// apart runs a function on a thread of its own, which ends with it: nothing else ever runs where it has been.
func apart(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		if syscall.Gettid() == os.Getpid() { // the first thread never ends, and where it is, others take the process to be
			err := apart(f) // on another one, for this one is held meanwhile
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err := errors.New("it did not come to its end")
		defer func() { done <- err }()
		err = f()
	}()
	return <-done
}

// Rootless makes what runs with it root of a user namespace of its own, with a network namespace of its own, so that an ordinary
// user may make namespaces and tables in it.
func Rootless() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}
