package netnstest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/netns"
)

// End is a namespace with one interface, that leads to a router.
type End struct {
	*netns.Namespace
	Link     string // the router's interface that leads there
	IP4, IP6 netip.Addr
}

// Routed makes a router and namespaces that reach each other through it only, IPv4 and IPv6, each by an interface of the router with
// the name that is given. They last as long as the test.
func Routed(t testing.TB, links ...string) (router *netns.Namespace, ends []End) {
	t.Helper()
	router = New(t)
	err := router.Do(func() error {
		return errors.Join(set("ipv4/ip_forward", "1"), set("ipv6/conf/all/forwarding", "1"), readyAtOnce())
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, link := range links {
		ends = append(ends, Join(t, router, link, i+1))
	}
	return router, ends
}

// Join adds an end to a router. Its number, from 1 to 255, is in its addresses.
func Join(t testing.TB, router *netns.Namespace, link string, number int) End {
	t.Helper()
	e := End{Namespace: New(t), Link: link, IP4: netip.AddrFrom4([4]byte{10, 0, byte(number), 2}), IP6: netip.MustParseAddr(fmt.Sprintf("fd00:%d::2", number))}
	err := errors.Join(connect(router, &e), router.Do(func() error { return ready(link) }), e.Do(func() error { return ready("eth0") }))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// connect puts a pair of interfaces between a router and an end, whose gateway is the address in front of its own.
func connect(router *netns.Namespace, e *End) error {
	err := router.Do(func() error {
		pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: e.Link}, PeerName: "eth0", PeerNamespace: netlink.NsFd(e.FD())}
		if err := netlink.LinkAdd(pair); err != nil {
			return fmt.Errorf("add the interface %s: %w", e.Link, err)
		}
		return up(e.Link, e.IP4.Prev(), e.IP6.Prev())
	})
	return errors.Join(err, e.Do(func() error {
		if err := errors.Join(readyAtOnce(), set("ipv6/conf/eth0/accept_dad", "0")); err != nil { // it came with its own
			return err
		}
		if err := up("eth0", e.IP4, e.IP6); err != nil {
			return err
		}
		return errors.Join(gateway(e.IP4.Prev()), gateway(e.IP6.Prev()))
	}))
}

// set writes what the kernel does in this namespace.
func set(name, value string) error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) }

// readyAtOnce lets addresses of IPv6 be used without waiting whether somebody else has them.
func readyAtOnce() error {
	return errors.Join(set("ipv6/conf/all/accept_dad", "0"), set("ipv6/conf/default/accept_dad", "0"))
}

// up gives an interface its addresses.
func up(name string, addrs ...netip.Addr) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		ip := &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen()*3/4, a.BitLen())}
		if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ip, Flags: unix.IFA_F_NODAD}); err != nil {
			return fmt.Errorf("give %s to %s: %w", a, name, err)
		}
	}
	return netlink.LinkSetUp(link)
}

// ready waits until the kernel has noticed that both sides of a pair are up, and IPv6 with it: before that neighbours are sought in vain,
// and TCP takes a second for the way.
func ready(name string) error {
	for range 5000 {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		addrs, err := netlink.AddrList(link, netlink.FAMILY_V6)
		if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) { // others come and go meanwhile
			return err
		}
		own := slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.Scope == unix.RT_SCOPE_LINK && a.Flags&unix.IFA_F_TENTATIVE == 0 })
		if link.Attrs().OperState == netlink.OperUp && own {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
	return fmt.Errorf("the interface %s does not come up", name)
}

func gateway(a netip.Addr) error { return netlink.RouteAdd(&netlink.Route{Gw: a.AsSlice()}) }

// NeedNft skips a test where nft is not installed. It is no part of Go, and so a machine may lack it; where these tests count it is installed.
func NeedNft(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("nft is missing: install nftables")
		}
		t.Skip("nft is not installed (package nftables)")
	}
}

// Nft runs nft in a namespace with a script.
func Nft(t testing.TB, n *netns.Namespace, script string) {
	t.Helper()
	NeedNft(t)
	err := n.Do(func() error {
		c := exec.Command("nft", "-f", "-")
		c.Stdin = strings.NewReader(script)
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
