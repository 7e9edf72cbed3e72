package layers

import (
	"cmp"
	"net/netip"
	"strings"

	"go4.org/netipx"
	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// DefaultTrustDomain is the cluster's trust domain where nobody says otherwise (L10).
const DefaultTrustDomain = "cluster.local"

// Model is what a Snapshot says of identities and of what lies outside, compiled. It is immutable and safe for
// concurrent use.
type Model struct {
	m      *policy.Model
	snap   *cluster.Snapshot
	trust  string
	unread bool // L3

	issuers  []issuer
	azure    *azure
	policies []access
	services []service
	// ports are those of all services, each once: many services have the same.
	ports []portRange
	// who, sources and targets are by pod: the number of what is issued to it, of that and as what it appears, and
	// of the policies that name it.
	who, sources, targets []int32
	identities            []identity // by number
	in                    Circumstances
	targeted              [][]int // by number: indices in policies
	about                 [][]int // by service: indices in policies of those that name it
}

// Speaks tells whether a Snapshot holds anything that layers are about (L1).
func Speaks(s *cluster.Snapshot) bool {
	return len(s.Identities)+len(s.AccessPolicies)+len(s.External) > 0
}

// Compile reads what the model's Snapshot says of layers; nil where they do not speak (L1).
func Compile(m *policy.Model) *Model {
	if !Speaks(m.Snapshot()) {
		return nil
	}
	return New(m)
}

// New is Compile, but where nothing speaks it gives a model in which the network alone does.
func New(m *policy.Model) *Model {
	snap := m.Snapshot()
	l := &Model{m: m, snap: snap, trust: cmp.Or(snap.Facts.TrustDomain, DefaultTrustDomain), in: Circumstances{As: Itself}}
	for i := range snap.Unreadable {
		u := &snap.Unreadable[i]
		l.unread = l.unread || u.Missing == cluster.MissingPolicies && u.Beyond == "" || u.Missing == cluster.MissingLayers
	}
	for i := range snap.Identities {
		l.issuers = append(l.issuers, newIssuer(&snap.Identities[i]))
	}
	for i := range snap.AccessPolicies {
		l.policies = append(l.policies, l.newAccess(&snap.AccessPolicies[i]))
	}
	for i := range snap.External {
		l.services = append(l.services, newService(&snap.External[i]))
	}
	l.ports = portsOf(l.services)
	l.identify()
	l.numberSources()
	l.findTargets()
	l.findServices()
	return l
}

// Source numbers what layers know of a pod as a source: what is issued to it, and as what it appears outside.
func (l *Model) Source(pod int) int { return int(l.sources[pod]) }

// Target numbers what they know of it as a destination: the access policies that name it, and on which ports.
func (l *Model) Target(pod int) int { return int(l.targets[pod]) }

// portRange is a range of ports of a protocol; a name stands for the numbers that a pod declares.
type portRange struct {
	proto netset.Proto
	ports netset.PortRange
	name  string
}

func (r *portRange) holds(proto netset.Proto, port uint16, declared []cluster.ContainerPort) bool {
	if r.proto != proto || !proto.HasPorts() {
		return false
	}
	if r.name == "" {
		return r.ports.First <= port && port <= r.ports.Last
	}
	for _, d := range declared {
		if d.Name == r.name && d.Proto == proto && d.Port == port {
			return true
		}
	}
	return false
}

// protoNamed gives the protocol that a port names, TCP where it names none; netset.Other, which has no ports, stands for
// one that is not understood (L4).
func protoNamed(p corev1.Protocol) netset.Proto {
	switch p {
	case corev1.ProtocolTCP, "":
		return netset.TCP
	case corev1.ProtocolUDP:
		return netset.UDP
	case corev1.ProtocolSCTP:
		return netset.SCTP
	}
	return netset.Other
}

// prefixes parses what can be: of a server's object that is not fully understood some may not be (L4).
func prefixes(list []string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		if p, err := netip.ParsePrefix(s); err == nil && plain(p.Addr()) {
			out = append(out, p.Masked())
		}
	}
	return out
}

// plain tells whether an address is of a family of its own, as those of packets are.
func plain(a netip.Addr) bool { return !a.Is4In6() && a.Zone() == "" }

func setOf(list []netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range list {
		b.AddPrefix(p)
	}
	s, _ := b.IPSet() // prefixes are valid
	return s
}

// sameResource compares audiences (L11).
func sameResource(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }
