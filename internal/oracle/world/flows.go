package world

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
)

// Case is a world with questions about it.
type Case struct {
	World   World
	Options oracle.Options
	Flows   []flow.Flow // indices count in World.Snapshot()
}

// GoString is what rapid prints of a drawn value: manifests, knobs and questions, not a Go literal of
// ten thousand characters.
func (c Case) GoString() string {
	s := c.World.Snapshot()
	var b strings.Builder
	fmt.Fprintf(&b, "%s# %+v\n", c.World.YAML(), c.Options)
	for _, f := range c.Flows {
		fmt.Fprintf(&b, "? %s\n", flowText(s, f))
	}
	return b.String()
}

// flowText writes a flow in one line: "blue/pod/p0@10.0.0.1 -> 203.0.113.9 tcp/80 ipv4".
func flowText(s *cluster.Snapshot, f flow.Flow) string {
	text := fmt.Sprintf("%s -> %s %v", endText(s, f.From), endText(s, f.To), f.Proto)
	if f.Proto.HasPorts() {
		text += fmt.Sprintf("/%d", f.Port)
	}
	text += " " + f.Family.String()
	if f.ViaService {
		text += " via service"
	}
	return text
}

func endText(s *cluster.Snapshot, e flow.End) string {
	var name string
	switch e.Kind {
	case flow.Address:
		return e.Addr.String()
	case flow.Node:
		name = "node/" + s.Nodes[e.Index].Name
	default:
		p := &s.Pods[e.Index]
		if name = p.String(); p.Replica > 0 {
			name += fmt.Sprintf("#%d", p.Replica)
		}
	}
	if e.Addr.IsValid() {
		name += "@" + e.Addr.String()
	}
	return name
}

// Cases generates worlds with n flows each. Example(seed) gives the same case for the same seed.
func Cases(n int) *rapid.Generator[Case] { return cases(n, Draw) }

// UnevaluatedCases generates like Cases, but in the worlds there may be policies of other engines and
// things that could not be read (S2, S33).
func UnevaluatedCases(n int) *rapid.Generator[Case] {
	return cases(n, func(t *rapid.T) World {
		w := Draw(t)
		w.drawUnevaluated(t)
		return w
	})
}

func cases(n int, draw func(*rapid.T) World) *rapid.Generator[Case] {
	return rapid.Custom(func(t *rapid.T) Case {
		w := draw(t)
		s := w.Snapshot()
		c := Case{World: w, Options: DrawOptions(t)}
		for range n {
			c.Flows = append(c.Flows, DrawFlow(t, s))
		}
		return c
	})
}

// DrawOptions draws the knobs; NotEnforced is rare because it hides everything else.
func DrawOptions(t *rapid.T) oracle.Options {
	o := oracle.Options{
		Strict:        oneIn(t, 3, "strict"),
		BlockMetadata: oneIn(t, 3, "block metadata"),
		Azure:         oneIn(t, 3, "azure"),
		NotEnforced:   oneIn(t, 40, "not enforced"),
	}
	if oneIn(t, 4, "pod range option") {
		o.PodCIDRs = append(o.PodCIDRs, netip.MustParsePrefix(pick(t, "pod range", "10.0.0.0/16", "10.0.0.0/23", "fd00::a00:0/112", "10.0.0.0/24")))
	}
	return o
}

// DrawFlow draws a flow between any two ends of the Snapshot or outside it.
func DrawFlow(t *rapid.T, s *cluster.Snapshot) flow.Flow {
	f := flow.Flow{
		Family: pick(t, "family", flow.IPv4, flow.IPv4, flow.IPv6),
		Proto:  pick(t, "protocol", netset.TCP, netset.TCP, netset.TCP, netset.UDP, netset.SCTP, netset.Other),
	}
	if f.Proto.HasPorts() {
		f.Port = pick(t, "port", portNumbers...)
	}
	f.From = drawEnd(t, s, f.Family, "from", -1)
	f.To = drawEnd(t, s, f.Family, "to", podIndex(f.From))
	if f.From.Kind == flow.Pod && oneIn(t, 25, "spoofed") {
		f.From.Addr = drawAddr(t, f.Family, "source")
	}
	f.ViaService = f.To.Kind == flow.Pod && oneIn(t, 8, "via service")
	return f
}

func podIndex(e flow.End) int {
	if e.Kind == flow.Pod {
		return e.Index
	}
	return -1
}

// drawEnd rarely draws the pod with the index other: S21 hides everything else.
func drawEnd(t *rapid.T, s *cluster.Snapshot, family flow.Family, label string, other int) flow.End {
	const pod, out, node = flow.Pod, flow.Address, flow.Node
	kind := pick(t, label, pod, pod, pod, pod, pod, pod, pod, pod, pod, pod, pod, out, out, node)
	switch {
	case kind == flow.Pod && len(s.Pods) > 0:
		i := drawPodIndex(t, s, family, label)
		if i == other && !oneIn(t, 5, label+" itself") {
			if i = (i + 1) % len(s.Pods); i == other {
				break // the only pod
			}
		}
		return flow.End{Kind: flow.Pod, Index: i, Addr: s.Pods[i].Addr(family)}
	case kind == flow.Node && len(s.Nodes) > 0:
		i := ints[len(s.Nodes)].Draw(t, label+" node")
		e := flow.End{Kind: flow.Node, Index: i}
		for _, a := range s.Nodes[i].Addrs {
			if flow.FamilyOf(a) == family {
				e.Addr = a
			}
		}
		return e
	}
	a := drawAddr(t, family, label)
	if ownAddr(s, a) { // an Address end is of no known pod or node
		a = netip.MustParseAddr("203.0.113.9")
		if family == flow.IPv6 {
			a = mirrorAddr(a)
		}
	}
	return flow.End{Kind: flow.Address, Addr: a}
}

// drawPodIndex usually avoids pods that have addresses, but none in the family: little flows there.
func drawPodIndex(t *rapid.T, s *cluster.Snapshot, family flow.Family, label string) int {
	i := ints[len(s.Pods)].Draw(t, label+" pod")
	if oneIn(t, 4, "whatever its families") {
		return i
	}
	for range s.Pods {
		if p := s.Pods[i]; len(p.Addrs) == 0 || p.Addr(family).IsValid() {
			break
		}
		i = (i + 1) % len(s.Pods)
	}
	return i
}

func drawAddr(t *rapid.T, family flow.Family, label string) netip.Addr {
	addrs := slices.Concat(otherAddrs, podAddrs[:3], nodeAddrs[:1])
	a := netip.MustParseAddr(pick(t, label+" address", addrs...))
	if family == flow.IPv4 {
		return a
	}
	switch a.String() {
	case "169.254.169.254":
		return netip.MustParseAddr("fd00:ec2::254")
	case "8.8.8.8":
		return netip.MustParseAddr("2001:db8::8")
	}
	return mirrorAddr(a)
}

func ownAddr(s *cluster.Snapshot, a netip.Addr) bool {
	return slices.ContainsFunc(s.Pods, func(p cluster.Pod) bool { return slices.Contains(p.Addrs, a) }) ||
		slices.ContainsFunc(s.Nodes, func(n cluster.Node) bool { return slices.Contains(n.Addrs, a) })
}
