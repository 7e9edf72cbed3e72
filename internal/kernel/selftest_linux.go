package kernel

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/mdlayher/netlink"
	links "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/conntrack"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/program"
)

// Minimum is the oldest kernel that is meant to do. Ranges of ports together with their protocol came with 5.6; 5.10 is the
// oldest release with that which is still maintained. The self-test decides, for distributions carry newer things into older kernels.
const Minimum = "5.10"

// need is something that a kernel must be able to do.
type need struct {
	what, since, config string
	p                   program.Program
	packets             []trial
	cut                 string // where a datagram gets to, and a second one does not after the connection was cut; empty for nowhere
}

// trial is a datagram that the node sends to itself.
type trial struct {
	to     string
	passes bool
}

// SelfTest tries everything that the tables of this program rely on, with packets, in a network namespace of its own. The error
// names everything that is missing. It takes some 50 ms.
func SelfTest() (Features, error) {
	ns, err := netns.New()
	if err != nil {
		return Features{}, fmt.Errorf("test what this kernel can: %w (this needs CAP_SYS_ADMIN and CAP_NET_ADMIN)", err)
	}
	f, err := selfTest(ns, needs)
	return f, errors.Join(err, ns.Close())
}

func selfTest(ns *netns.Namespace, needs []need) (f Features, err error) {
	if err := loopbackUp(ns); err != nil {
		return f, fmt.Errorf("test what this kernel can: %w", err)
	}
	var missing []string
	for i := range needs {
		if err := needs[i].try(ns); err != nil {
			missing = append(missing, fmt.Sprintf("%s (since Linux %s, %s): %v", needs[i].what, needs[i].since, needs[i].config, err))
		}
	}
	if len(missing) > 0 {
		return f, fmt.Errorf("%s cannot do what Sallyport relies on, so nothing is enforced here%s; it lacks %s", release(), hint(), strings.Join(missing, "; "))
	}
	f.Owner = owns(ns)
	return f, nil
}

func loopbackUp(ns *netns.Namespace) error {
	return ns.Do(func() error {
		lo, err := links.LinkByName("lo")
		if err != nil {
			return err
		}
		return links.LinkSetUp(lo)
	})
}

// release names the kernel.
func release() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "this kernel"
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:])
}

// try loads a program, reads it back, sends the packets, and removes it.
func (n *need) try(ns *netns.Namespace) (err error) {
	t, err := Open(ns.FD(), Features{})
	if err != nil {
		return err
	}
	defer func() {
		_, e := Uninstall(ns.FD())
		err = errors.Join(err, t.Close(), e)
	}()
	if _, err := t.Apply(&n.p); err != nil {
		return err
	}
	if found, err := t.Heal(true); err != nil || len(found) > 0 {
		return errors.Join(err, fmt.Errorf("what was loaded reads differently: %q", found))
	}
	for _, p := range n.packets {
		if passes, err := sends(ns, p.to, nil); err != nil || passes != p.passes {
			return errors.Join(err, fmt.Errorf("a packet to %s passes: %v, and it should be %v", p.to, passes, p.passes))
		}
	}
	if n.cut == "" {
		return nil
	}
	passes, err := sends(ns, n.cut, cut)
	if err == nil && passes {
		err = fmt.Errorf("a packet to %s passes, though its connection was cut", n.cut)
	}
	return err
}

// sends tells whether the kernel lets a datagram out: where a chain drops one that the node itself sends, sending it fails. What is
// to happen after a first one comes between it and the one that counts.
func sends(ns *netns.Namespace, where string, after func(*netns.Namespace, netip.AddrPort) error) (passes bool, err error) {
	to, err := netip.ParseAddrPort(where)
	if err != nil {
		return false, err
	}
	err = ns.Do(func() error {
		c, err := net.ListenUDP("udp", nil) // not connected, so that it does not hear that nobody listens
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		if after != nil {
			if _, err := c.WriteToUDPAddrPort([]byte("?"), to); err != nil {
				return fmt.Errorf("the first packet: %v", err) // its errors are not the outcome of the second one
			}
			if err := after(ns, to); err != nil {
				return fmt.Errorf("after the first packet: %v", err)
			}
		}
		_, err = c.WriteToUDPAddrPort([]byte("?"), to)
		return err
	})
	if errors.Is(err, unix.EPERM) {
		return false, nil
	}
	return err == nil, err
}

// cut cuts the connections to an address and port.
func cut(ns *netns.Namespace, to netip.AddrPort) (err error) {
	s, err := conntrack.Open(ns.FD())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	n := 0
	err = conntrack.Each(ns.FD(), func(c *conntrack.Connection) error {
		if c.Dst != to.Addr() || c.Port != to.Port() {
			return nil
		}
		n++
		out, err := s.Revoke(c)
		if err == nil && out != conntrack.Done {
			return fmt.Errorf("%s has no room for labels", c)
		}
		return err
	})
	if err == nil && n == 0 {
		return fmt.Errorf("the kernel knows of no connection to %s", to)
	}
	return err
}

// owns tells whether a table can belong to a socket and outlive it.
func owns(ns *netns.Namespace) bool {
	t, err := Open(ns.FD(), Features{Owner: true})
	if err != nil {
		return false
	}
	_, err = t.Apply(&program.Program{})
	owned := err == nil && t.owner != 0 && refusesOthers(ns)
	err = t.Close()
	removed, e := Uninstall(ns.FD())
	return owned && err == nil && e == nil && removed
}

// refusesOthers tells whether the kernel lets nobody but its owner remove the table.
func refusesOthers(ns *netns.Namespace) bool {
	c, err := dial(ns.FD())
	if err != nil {
		return false
	}
	err = commit(c, []netlink.Message{message(unix.NFT_MSG_DELTABLE, 0, start())})
	return c.Close() == nil && errors.Is(err, unix.EPERM)
}

// The needs, each as a table of just that, with packets where a kernel might take a table and not do what it says.
var needs = []need{
	{
		what: "tables for IPv4 and IPv6 together", since: "3.14", config: "CONFIG_NF_TABLES_INET",
		p: output(program.Rule{Match: program.FromLoopback, Verdict: program.Verdict{Act: program.Accept}}),
	},
	{
		what: "the state of connections in rules", since: "3.13", config: "CONFIG_NFT_CT and CONFIG_NF_CONNTRACK",
		p: output(program.Rule{Match: program.Established, Verdict: program.Verdict{Act: program.Accept}}),
	},
	{
		what: "denied packets to user space", since: "3.17", config: "CONFIG_NFT_LOG and CONFIG_NETFILTER_NETLINK_LOG",
		p:       output(program.Rule{Log: "sallyport self-test ", Verdict: program.Verdict{Act: program.Drop}}),
		packets: []trial{{"127.0.0.1:9", false}},
	},
	{
		what: "labels of connections, set from outside", since: "4.7", config: "CONFIG_NF_CONNTRACK_LABELS and CONFIG_NF_CT_NETLINK",
		p: program.Program{Chains: []program.Chain{
			{Name: closed.Chain, Rules: []program.Rule{{Match: program.Relabel, Verdict: program.Verdict{Act: program.Drop}}}},
			{Name: "output", Hook: program.Output, Rules: []program.Rule{{Match: program.Revoked, Verdict: closed}}}}},
		packets: []trial{{"127.0.0.1:9", true}},
		cut:     "127.0.0.1:10",
	},
	{
		what: "the flags of TCP", since: "3.13", config: "CONFIG_NF_TABLES",
		p: output(program.Rule{Match: program.Stray, Verdict: program.Verdict{Act: program.Drop}}),
	},
	{
		what: "sets of interfaces with addresses", since: "4.1", config: "CONFIG_NF_TABLES",
		p: with(output(program.Rule{Match: program.TargetAndIP4, Set: "s", Verdict: program.Verdict{Act: program.Drop}}),
			program.Set{Name: "s", Key: program.KeySource4, Elements: []program.Element{{Interface: "lo", First: local(9), Last: local(9)}}}),
		packets: []trial{{"127.0.0.1:9", true}, {"127.0.0.9:9", false}},
	},
	{
		what: "maps from addresses to chains", since: "3.13", config: "CONFIG_NF_TABLES",
		p:       mapped(program.Destination4, program.Map{Key: program.KeyIPv4, Elements: []program.Element{{First: local(9), Last: local(9), Verdict: closed}}}),
		packets: []trial{{"127.0.0.1:9", true}, {"127.0.0.9:9", false}},
	},
	{
		what: "maps from ranges of addresses to chains", since: "4.1", config: "CONFIG_NF_TABLES",
		p: mapped(program.Destination4, program.Map{Key: program.KeyIPv4, Interval: true, Elements: []program.Element{
			{First: local(9), Last: local(11), Verdict: closed}, {First: local(12), Last: local(13), Verdict: program.Verdict{Act: program.Return}}}}),
		packets: []trial{{"127.0.0.8:9", true}, {"127.0.0.9:9", false}, {"127.0.0.11:9", false}, {"127.0.0.12:9", true}, {"127.0.0.14:9", true}},
	},
	{
		what: "maps from protocols with ranges of ports", since: "5.6", config: "CONFIG_NF_TABLES",
		p: mapped(program.ProtocolAndPort, program.Map{Key: program.KeyPort, Interval: true, Elements: []program.Element{
			{Proto: netset.TCP, Ports: netset.PortRange{First: 1, Last: 65535}, Verdict: closed},
			{Proto: netset.UDP, Ports: netset.PortRange{First: 1000, Last: 1999}, Verdict: closed}}}),
		packets: []trial{{"127.0.0.1:999", true}, {"127.0.0.1:1000", false}, {"127.0.0.1:1999", false}, {"127.0.0.1:2000", true}},
	},
}

var closed = program.Verdict{Act: program.Goto, Chain: "closed"}

func local(last byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, last}) }

// output makes a program of one rule that is asked about what the node sends.
func output(r program.Rule) program.Program {
	return program.Program{Chains: []program.Chain{{Name: "output", Hook: program.Output, Rules: []program.Rule{r}}}}
}

func with(p program.Program, s program.Set) program.Program {
	p.Sets = append(p.Sets, s)
	return p
}

// mapped makes a program that looks something up and drops what leads to the chain closed.
func mapped(match program.Match, m program.Map) program.Program {
	m.Name = "m"
	p := output(program.Rule{Match: match, Map: m.Name})
	p.Maps = append(p.Maps, m)
	p.Chains = append([]program.Chain{{Name: closed.Chain, Rules: []program.Rule{{Verdict: program.Verdict{Act: program.Drop}}}}}, p.Chains...)
	return p
}

// hint says why something may be missing.
func hint() string {
	if OlderThanMinimum() {
		return " (it is older than " + Minimum + ")"
	}
	return " (it is new enough, so it was built without, or a module may not be loaded)"
}

// OlderThanMinimum tells whether the running kernel is older than Minimum.
func OlderThanMinimum() bool { return older(release()) }

func older(release string) bool {
	least, have := numbers(Minimum), numbers(strings.TrimPrefix(release, "Linux "))
	return slices.Compare(have[:], least[:]) < 0
}

// numbers gives the first two numbers of a release, such as 5.4.0-150-generic.
func numbers(release string) (out [2]int) {
	for i, s := range strings.SplitN(release, ".", 3) {
		if i < len(out) {
			out[i], _ = strconv.Atoi(strings.TrimRightFunc(s, func(r rune) bool { return r < '0' || r > '9' }))
		}
	}
	return out
}
