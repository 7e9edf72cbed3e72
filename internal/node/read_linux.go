package node

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netns"
)

// attempts is how often everything is read because something changed meanwhile. The last reading counts, if none of its lists broke
// off: who watches hears of the change and reads once more, and a pod that turns its interface on and off keeps nobody from reading.
const attempts = 5

// groups are those of the kernel's words of changes that facts may hang on, neighbours left out.
var groups = []uint{unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR, unix.RTNLGRP_IPV4_ROUTE, unix.RTNLGRP_IPV6_ROUTE,
	unix.RTNLGRP_IPV4_RULE, unix.RTNLGRP_IPV6_RULE}

// Read reads the facts of the network namespace that a file descriptor names, or of the calling thread's where it is 0.
func Read(namespace int) (*Facts, error) {
	var f *Facts
	err := netns.In(namespace, func() error {
		changes, err := nl.Subscribe(unix.NETLINK_ROUTE, groups...)
		if err != nil {
			return err
		}
		defer changes.Close()
		for range attempts {
			f, err = readOnce()
			if changed := drain(changes.GetFd()); !changed && !errors.Is(err, netlink.ErrDumpInterrupted) {
				break
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the node's interfaces and routes: %w", err)
	}
	return f, nil
}

// drain empties a socket, and tells whether there was anything in it, or would be if it had been large enough.
func drain(fd int) (some bool) {
	var buffer [1]byte
	for range 1_000_000 {
		_, _, err := unix.Recvfrom(fd, buffer[:], unix.MSG_DONTWAIT)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			break
		}
		some = true
	}
	return some
}

// reading is facts that are being read.
type reading struct {
	*Facts
	h *netlink.Handle
}

// readOnce reads each sort of thing in one go.
func readOnce() (*Facts, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	r := reading{&Facts{links: map[int]link{}, held: map[netip.Addr][]int{}, local: map[netip.Addr]bool{}, neighbours: map[netip.Addr]int{}}, h}
	if err := r.readLinks(); err != nil {
		return nil, err
	}
	if err := r.readAddresses(); err != nil {
		return nil, err
	}
	for _, family := range flow.Families {
		if err := errors.Join(r.readRoutes(family), r.readNeighbours(family)); err != nil {
			return nil, err
		}
	}
	return r.Facts, r.readSettings()
}

// skipStatistics is RTEXT_FILTER_SKIP_STATS, which golang.org/x/sys does not name.
const skipStatistics = 1 << 3

// readLinks reads the interfaces but lo. The library's own list leaves out what a bridge shows to the filter.
func (r *reading) readLinks() error {
	request := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	request.AddData(nl.NewIfInfomsg(unix.AF_UNSPEC))
	request.AddData(nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics)))
	var problem error
	err := request.ExecuteIter(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, func(m []byte) bool {
		message := nl.DeserializeIfInfomsg(m)
		if message.Flags&unix.IFF_LOOPBACK == 0 {
			r.links[int(message.Index)], problem = linkOf(m[message.Len():])
		}
		return problem == nil
	})
	return errors.Join(problem, err)
}

// attributes are parts of a netlink message, by type.
type attributes map[uint16][]byte

func parse(data []byte) (attributes, error) {
	list, err := nl.ParseRouteAttr(data)
	out := attributes{}
	for _, a := range list {
		out[a.Attr.Type] = a.Value
	}
	return out, err
}

func (a attributes) text(what uint16) string { return unix.ByteSliceToString(a[what]) }

func (a attributes) number(what uint16) int {
	if len(a[what]) < 4 {
		return 0
	}
	return int(nl.NativeEndian().Uint32(a[what]))
}

func (a attributes) set(what uint16) bool { return len(a[what]) > 0 && a[what][0] != 0 }

// linkOf reads the attributes of an interface.
func linkOf(data []byte) (link, error) {
	all, err := parse(data)
	if err != nil {
		return link{}, err
	}
	l := link{name: all.text(unix.IFLA_IFNAME), master: all.number(unix.IFLA_MASTER)}
	info, err := parse(all[unix.IFLA_LINKINFO])
	if err != nil {
		return link{}, err
	}
	if l.kind = info.text(unix.IFLA_INFO_KIND); l.kind == "bridge" {
		bridge, err := parse(info[unix.IFLA_INFO_DATA])
		if err != nil {
			return link{}, err
		}
		l.calls = [2]bool{bridge.set(unix.IFLA_BR_NF_CALL_IPTABLES), bridge.set(unix.IFLA_BR_NF_CALL_IP6TABLES)}
	}
	return l, nil
}

func (r *reading) readAddresses() error {
	list, err := r.h.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for i := range list {
		a, ok := netip.AddrFromSlice(list[i].IP)
		r.local[a.Unmap()] = true
		if _, known := r.links[list[i].LinkIndex]; known && ok && a.Unmap().IsGlobalUnicast() {
			r.held[a.Unmap()] = append(r.held[a.Unmap()], list[i].LinkIndex)
		}
	}
	return nil
}

// libraryFamily gives a family as the library names it.
func libraryFamily(family flow.Family) int {
	if family == flow.IPv6 {
		return netlink.FAMILY_V6
	}
	return netlink.FAMILY_V4
}

// readRoutes reads the rules and routes of a family.
func (r *reading) readRoutes(family flow.Family) error {
	rules, err := r.h.RuleList(libraryFamily(family))
	if err != nil {
		return err
	}
	slices.SortStableFunc(rules, func(a, b netlink.Rule) int { return cmp.Compare(a.Priority, b.Priority) })
	var tables []int
	for i := range rules {
		if t := rules[i].Table; t != unix.RT_TABLE_UNSPEC {
			tables = append(tables, t)
		}
	}
	asked := r.addTables(family, tables)
	return r.h.RouteListFilteredIter(libraryFamily(family), &netlink.Route{}, netlink.RT_FILTER_TABLE, func(x netlink.Route) bool {
		if x.Type != unix.RTN_THROW {
			r.addRoute(asked, x.Table, prefixOf(&x, family), wayOf(&x))
		}
		return true
	})
}

// prefixOf gives what a route leads to.
func prefixOf(x *netlink.Route, family flow.Family) netip.Prefix {
	switch {
	case x.Dst != nil:
		a, _ := netip.AddrFromSlice(x.Dst.IP)
		bits, _ := x.Dst.Mask.Size()
		return netip.PrefixFrom(a.Unmap(), bits)
	case family == flow.IPv6:
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// wayOf gives where a route leads. One that drops, or that leads to the node itself, leads nowhere.
func wayOf(x *netlink.Route) way {
	w := way{metric: uint32(x.Priority), gateway: x.Gw != nil || x.Via != nil}
	if x.Type != unix.RTN_UNICAST {
		return w
	}
	if x.LinkIndex != 0 {
		w.links = []int{x.LinkIndex}
	}
	for _, hop := range x.MultiPath {
		w.links = append(w.links, hop.LinkIndex)
		w.gateway = w.gateway || hop.Gw != nil || hop.Via != nil
	}
	return w
}

// readNeighbours reads what is written down for good of neighbours on bridges.
func (r *reading) readNeighbours(family flow.Family) error {
	if !slices.ContainsFunc(slices.Collect(maps.Values(r.links)), func(l link) bool { return l.kind == "bridge" }) {
		return nil
	}
	list, err := r.h.NeighList(0, libraryFamily(family))
	if err != nil {
		return err
	}
	for i := range list {
		n := &list[i]
		a, ok := netip.AddrFromSlice(n.IP)
		if a = a.Unmap(); !ok || n.State != netlink.NUD_PERMANENT || r.links[n.LinkIndex].kind != "bridge" {
			continue
		}
		if at, there := r.neighbours[a]; there && at != n.LinkIndex {
			n.LinkIndex = 0
		}
		r.neighbours[a] = n.LinkIndex
	}
	return nil
}

// readSettings reads whether bridges show what they pass to the filter. Without the module there are no such settings.
func (r *reading) readSettings() error {
	for i, name := range bridgeSettings {
		text, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.module = r.module || err == nil
		r.calls[i] = strings.TrimSpace(string(text)) == "1"
	}
	return nil
}
