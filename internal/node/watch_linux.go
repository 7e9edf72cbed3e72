package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/netns"
)

// gap is the least time between two words of a Watch: a pod that turns its interface on and off all the time keeps nobody busy.
const gap = 50 * time.Millisecond

// events is the socket of a Watch: nl.NetlinkSocket is one; tests put faults into it.
type events interface {
	Receive() ([]syscall.NetlinkMessage, *unix.SockaddrNetlink, error)
	SetReceiveTimeout(*unix.Timeval) error
	Close()
}

// Watch says that links, addresses, routes, rules or neighbours of a network namespace, which is told as to Read, have changed
// since it was last heard: once for many changes, and also where it cannot be known what was missed. It hears of all that happens
// after it returned. The channel is closed when the context ends; if it is before, the socket broke, and whoever needs it watches
// anew.
func Watch(ctx context.Context, namespace int) (<-chan struct{}, error) {
	c, err := listen(namespace)
	if err != nil {
		return nil, fmt.Errorf("watch the node's interfaces and routes: %w", err)
	}
	return watch(ctx, c), nil
}

// listen opens a socket that hears of changes.
func listen(namespace int) (c *nl.NetlinkSocket, err error) {
	err = netns.In(namespace, func() (err error) {
		c, err = nl.Subscribe(unix.NETLINK_ROUTE, append(slices.Clone(groups), unix.RTNLGRP_NEIGH)...)
		return err
	})
	return c, err
}

func watch(ctx context.Context, c events) <-chan struct{} {
	out := make(chan struct{}, 1)
	stop := context.AfterFunc(ctx, c.Close)
	go func() {
		defer close(out)
		defer c.Close()
		defer stop()
		tell(c, out)
	}()
	return out
}

// tell says what a socket hears until it breaks.
func tell(c events, out chan<- struct{}) {
	var last time.Time
	for changed := false; ; {
		var wait unix.Timeval // for ever
		if changed {
			left := gap - time.Since(last)
			if left <= 0 {
				select {
				case out <- struct{}{}:
				default: // what was said before has not been heard yet, and says as much
				}
				changed, last = false, time.Now()
				continue
			}
			wait = unix.NsecToTimeval(max(left, time.Millisecond).Nanoseconds())
		}
		if err := c.SetReceiveTimeout(&wait); err != nil {
			return
		}
		messages, _, err := c.Receive()
		switch {
		case errors.Is(err, unix.ENOBUFS):
			changed = true
		case err == nil:
			changed = changed || slices.ContainsFunc(messages, counts)
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR):
			return
		}
	}
}

// counts tells whether a change is one that facts may hang on. Of neighbours those do not that the kernel hears of by itself: they
// come and go all the time, and any pod could make more.
func counts(m syscall.NetlinkMessage) bool {
	if m.Header.Type != unix.RTM_NEWNEIGH && m.Header.Type != unix.RTM_DELNEIGH {
		return true
	}
	const family, state = 0, 8 // in struct ndmsg
	if len(m.Data) < unix.SizeofNdMsg || m.Data[family] == unix.AF_BRIDGE {
		return false
	}
	return m.Header.Type == unix.RTM_DELNEIGH || nl.NativeEndian().Uint16(m.Data[state:])&unix.NUD_PERMANENT != 0
}
