package kernel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns"
	"sallyport.dev/sallyport/internal/netns/netnstest"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/program"
)

// TestPackets: what a kernel forwards is what the simulator says, and so what the oracle says (program's TestOracle): the tables of
// random worlds, and packets of every protocol between all that has an address.
func TestPackets(t *testing.T) {
	r := newRig(t)
	table := open(t, r.node, features(t))
	counts := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 5*time.Second, 1)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) { r.world(rt, table, counts) })
	}
	t.Logf("packets: %v", counts)
	for _, family := range flow.Families {
		for _, proto := range []netset.Proto{netset.TCP, netset.UDP, netset.SCTP, netset.Other} {
			for _, want := range []bool{true, false} {
				if what := fmt.Sprintf("%v %v %v", family, proto, want); counts[what] < 20 && !testing.Short() {
					t.Errorf("%d packets are %s: too few", counts[what], what)
				}
			}
		}
	}
}

// world draws a world, and compares what becomes of packets in it.
func (r *rig) world(rt *rapid.T, table *kernel.Table, counts map[string]int) {
	c := world.UnevaluatedCases(12).Draw(rt, "case")
	s := c.World.Snapshot()
	if len(s.Nodes) == 0 || c.Options.NotEnforced {
		return
	}
	n := nodeOf(s, s.Nodes[0].Name)
	for i := range n.Interface {
		if i >= len(r.links)-1 {
			delete(n.Interface, i) // there are not so many: the pod is closed
		}
	}
	opts := policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata, Azure: c.Options.Azure}
	p := program.New(policy.Compile(s, opts), n)
	apply(rt, table, p)
	r.route(rt, s, n)
	var sent []probe
	for i, k := range r.packets(rt, s, n, c.Flows) {
		want, path, err := p.Try(&k)
		if err != nil {
			rt.Fatal(err)
		}
		q := probe{k: k, id: uint16(1024 + i), want: want, path: path}
		counts[fmt.Sprintf("%v %v %v", flow.FamilyOf(k.Src), k.Proto, want)]++
		r.send(rt, &q)
		sent = append(sent, q)
	}
	r.compare(rt, sent)
	r.forget(rt)
}

// rig is a node whose interfaces all end in one namespace, where packets are made and caught.
type rig struct {
	node, far *netns.Namespace
	links     []string // of the node: the uplink, and one for each pod
	at        map[string]*wire
	caught    int // a socket that hears everything in far
	addrs     []netip.Addr
}

// wire is an interface of the node, and the other end of it.
type wire struct {
	index    int // of the other end
	mac, far net.HardwareAddr
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{node: netnstest.New(t), far: netnstest.New(t), links: []string{"eth0"}, at: map[string]*wire{}}
	for i := range 8 {
		r.links = append(r.links, fmt.Sprintf("veth%d", i))
	}
	err := r.node.Do(func() error {
		for name, value := range map[string]string{"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0",
			"ipv6/conf/default/accept_dad": "0", "ipv6/conf/default/router_solicitations": "0"} {
			if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0); err != nil {
				return err
			}
		}
		for i, link := range r.links {
			if err := r.connect(i, link); err != nil {
				return err
			}
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo) // without a single local address no gateway is one
	})
	err = errors.Join(err, r.far.Do(func() (err error) {
		for i, link := range r.links {
			other, err := netlink.LinkByName(fmt.Sprintf("far%d", i))
			if err != nil {
				return err
			}
			if err := netlink.LinkSetUp(other); err != nil {
				return err
			}
			r.at[link].index, r.at[link].far = other.Attrs().Index, other.Attrs().HardwareAddr
		}
		if r.caught, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK, int(htons(unix.ETH_P_ALL))); err != nil {
			return err
		}
		return unix.SetsockoptInt(r.caught, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	}))
	if errors.Is(err, unix.EPERM) {
		err = nil // an ordinary user's buffer is small, and large enough
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(r.caught) })
	return r
}

func (r *rig) connect(i int, link string) error {
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: link}, PeerName: fmt.Sprintf("far%d", i), PeerNamespace: netlink.NsFd(r.far.FD())}
	if err := netlink.LinkAdd(pair); err != nil {
		return err
	}
	near, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	r.at[link] = &wire{mac: near.Attrs().HardwareAddr}
	return netlink.LinkSetUp(near)
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// route leads each address to the interface of its pod, and everything else to the uplink, without asking for neighbours.
func (r *rig) route(t rapid.TB, s *cluster.Snapshot, n *program.Node) {
	t.Helper()
	err := r.node.Do(func() error {
		for _, whole := range []string{"0.0.0.0/0", "::/0"} {
			if err := r.lead(netip.MustParsePrefix(whole), "eth0"); err != nil {
				return err
			}
		}
		for i := range s.Pods {
			if link := n.Interface[i]; link != "" && s.Pods[i].NodeName == n.Name {
				for _, a := range s.Pods[i].Addrs {
					if err := r.lead(netip.PrefixFrom(a, a.BitLen()), link); err != nil {
						return err
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// gateways are who is at the other end of every wire.
var gateways = map[bool]net.IP{false: net.IP{100, 64, 0, 1}, true: net.ParseIP("fe80::1")}

func (r *rig) lead(to netip.Prefix, link string) error {
	l, err := netlink.LinkByName(link)
	if err != nil {
		return err
	}
	gateway := gateways[to.Addr().Is6()]
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	err = netlink.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, Family: family, State: netlink.NUD_PERMANENT, IP: gateway, HardwareAddr: r.at[link].far})
	if err != nil {
		return fmt.Errorf("a neighbour on %s: %w", link, err)
	}
	dst := &net.IPNet{IP: to.Addr().AsSlice(), Mask: net.CIDRMask(to.Bits(), to.Addr().BitLen())}
	err = netlink.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Family: family, Dst: dst, Gw: gateway, Flags: int(netlink.FLAG_ONLINK)})
	if err != nil {
		return fmt.Errorf("a route to %s by %s: %w", to, link, err)
	}
	if to.IsSingleIP() {
		r.addrs = append(r.addrs, to.Addr())
	}
	return nil
}

// forget takes the routes of a world away.
func (r *rig) forget(t rapid.TB) {
	t.Helper()
	err := r.node.Do(func() error {
		for _, a := range r.addrs {
			err := netlink.RouteDel(&netlink.Route{Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}})
			if err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		return nil
	})
	if r.addrs = nil; err != nil {
		t.Fatal(err)
	}
}

// packets are those between all ends that have addresses, as far as the node forwards them, with the protocols and ports of questions
// that were drawn.
func (r *rig) packets(t *rapid.T, s *cluster.Snapshot, n *program.Node, drawn []flow.Flow) (out []program.Packet) {
	links := map[netip.Addr]string{} // the last one has the route
	var addrs []netip.Addr
	for i := range s.Pods {
		if s.Pods[i].HostNetwork {
			continue
		}
		for _, a := range s.Pods[i].Addrs {
			addrs = append(addrs, a)
			if link := n.Interface[i]; link != "" && s.Pods[i].NodeName == n.Name {
				links[a] = link
			}
		}
	}
	for i := range s.Nodes {
		addrs = append(addrs, s.Nodes[i].Addrs...)
	}
	for _, f := range drawn {
		addrs = append(addrs, f.From.Addr, f.To.Addr)
	}
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool {
		return !a.IsValid() || a.Is4In6() || !a.IsGlobalUnicast() && !(a.Is4() && a.IsLinkLocalUnicast()) || a.Is4() && a.As4()[0] >= 224
	})
	slices.SortFunc(addrs, netip.Addr.Compare)
	addrs = slices.Compact(addrs)
	link := func(a netip.Addr) string {
		if l := links[a]; l != "" {
			return l
		}
		return "eth0"
	}
	for _, from := range addrs {
		for _, to := range addrs {
			in, outBy := link(from), link(to)
			if from == to || from.Is4() != to.Is4() || in == "eth0" && outBy == "eth0" {
				continue
			}
			for range 4 {
				f := rapid.SampledFrom(drawn).Draw(t, "question")
				k := program.Packet{Hook: program.Forward, In: in, Out: outBy, Src: from, Dst: to, Proto: f.Proto, Port: f.Port}
				if f.Proto == netset.Other {
					k.Port, k.Number = 0, program.ICMP
					if from.Is6() {
						k.Number, k.Type, k.HopLimit = program.ICMPv6, 128, 64
					}
				}
				out = append(out, k)
			}
		}
	}
	return out[:min(len(out), 400)]
}

// probe is a packet that was sent.
type probe struct {
	k    program.Packet
	id   uint16 // its source port, or the number of an echo
	want bool
	path []string
}

// send puts a packet onto the wire that its source has.
func (r *rig) send(t rapid.TB, q *probe) {
	t.Helper()
	w := r.at[q.k.In]
	kind := uint16(unix.ETH_P_IP)
	if q.k.Src.Is6() {
		kind = unix.ETH_P_IPV6
	}
	frame := binary.BigEndian.AppendUint16(slices.Concat([]byte(w.mac), []byte(w.far)), kind)
	frame = append(frame, q.bytes()...)
	if err := unix.Sendto(r.caught, frame, 0, &unix.SockaddrLinklayer{Ifindex: w.index, Halen: 6}); err != nil {
		t.Fatalf("send %+v: %v", q.k, err)
	}
}

// bytes make the packet, with its checksums: connection tracking looks at them.
func (q *probe) bytes() []byte {
	body := q.body()
	if q.k.Src.Is6() {
		head := []byte{0x60, 0, 0, 0, 0, 0, q.number(), 64}
		binary.BigEndian.PutUint16(head[4:], uint16(len(body)))
		return slices.Concat(head, q.k.Src.AsSlice(), q.k.Dst.AsSlice(), body)
	}
	head := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, q.number(), 0, 0}
	binary.BigEndian.PutUint16(head[2:], uint16(20+len(body)))
	head = slices.Concat(head, q.k.Src.AsSlice(), q.k.Dst.AsSlice())
	binary.BigEndian.PutUint16(head[10:], checksum(head))
	return append(head, body...)
}

func (q *probe) number() byte {
	if q.k.Proto == netset.Other {
		return q.k.Number
	}
	return program.NumberOf(q.k.Proto)
}

func (q *probe) body() []byte {
	ports := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, q.id), q.k.Port)
	switch q.k.Proto {
	case netset.TCP:
		return q.summed(slices.Concat(ports, []byte{0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0}), 16)
	case netset.UDP:
		return q.summed(append(ports, 0, 9, 0, 0, 'x'), 6)
	case netset.SCTP: // an INIT
		b := slices.Concat(ports, make([]byte, 8), []byte{1, 0, 0, 20, 0, 0, 0, 1, 0, 0, 0xff, 0xff, 0, 1, 0, 1, 0, 0, 0, 1})
		binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
		return b
	}
	b := binary.BigEndian.AppendUint16([]byte{8, 0, 0, 0}, q.id)
	b = append(b, 0, 1)
	if q.k.Src.Is6() {
		b[0] = 128
		return q.summed(b, 2)
	}
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return b
}

// summed writes the checksum over the addresses as well.
func (q *probe) summed(b []byte, at int) []byte {
	pseudo := slices.Concat(q.k.Src.AsSlice(), q.k.Dst.AsSlice(), []byte{0, q.number()}, binary.BigEndian.AppendUint16(nil, uint16(len(b))), b)
	binary.BigEndian.PutUint16(b[at:], checksum(pseudo))
	return b
}

func checksum(b []byte) uint16 {
	if len(b)%2 == 1 {
		b = append(slices.Clone(b), 0)
	}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// compare waits for what should come, and a little for what should not.
func (r *rig) compare(t rapid.TB, sent []probe) {
	t.Helper()
	expected := 0
	for i := range sent {
		if sent[i].want {
			expected++
		}
	}
	came := map[uint16]int{}
	right := 0
	deadline := time.Now().Add(3 * time.Second)
	for quiet := time.Now(); time.Now().Before(deadline) && (right < expected || time.Since(quiet) < 10*time.Millisecond); {
		id, index, ok := r.catch()
		if !ok {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		i := int(id) - 1024
		if i < 0 || i >= len(sent) {
			continue
		}
		quiet = time.Now()
		if came[id] = index; sent[i].want {
			right++
		}
	}
	for i := range sent {
		q := &sent[i]
		index, ok := came[q.id]
		if ok != q.want || ok && index != r.at[q.k.Out].index {
			t.Errorf("%+v: it came out %v, at %d; and the simulator: %v by %q", q.k, ok, index, q.want, q.path)
		}
	}
}

// catch reads a packet that the node sent, and gives its number and where it came out.
func (r *rig) catch() (id uint16, index int, ok bool) {
	b := make([]byte, 2000)
	for {
		n, from, err := unix.Recvfrom(r.caught, b, 0)
		if err != nil {
			return 0, 0, false
		}
		at, here := from.(*unix.SockaddrLinklayer)
		if !here || at.Pkttype == unix.PACKET_OUTGOING || n < 14 {
			continue
		}
		ip := b[14:n]
		var number byte
		switch binary.BigEndian.Uint16(b[12:]) {
		case unix.ETH_P_IP:
			number, ip = ip[9], ip[20:]
		case unix.ETH_P_IPV6:
			number, ip = ip[6], ip[40:]
		default:
			continue
		}
		if number == program.ICMP || number == program.ICMPv6 {
			if ip[0] != 8 && ip[0] != 128 {
				continue
			}
			ip = ip[4:]
		}
		return binary.BigEndian.Uint16(ip), at.Ifindex, true
	}
}
