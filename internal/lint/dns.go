package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// dnsRules are about pods that may connect to something, but not to what tells them its address.
var dnsRules = []*Rule{
	{ID: "dns-cut", Severity: Warning, Title: "pods that may connect out cannot reach the cluster's DNS", check: dnsCut},
	{ID: "dns-tcp-cut", Severity: Note, Title: "pods reach the cluster's DNS over UDP, but not over TCP", check: dnsTCPCut},
}

// dnsPort is where clients ask; a Service may lead to another port of its pods.
const dnsPort = 53

// dnsNamespaces are where clusters keep their resolver.
var dnsNamespaces = []string{"kube-system", "openshift-dns"}

// localDNS is the address of the cache that clusters may run on each node.
var localDNS = netip.MustParseAddr("169.254.20.10")

// resolver is the cluster's DNS: the pods behind its Services, and what stands before them.
type resolver struct {
	name    string // of the first Service, or of the pods
	pods    map[int]bool
	targets []dnsTarget
	cache   []dnsTarget // the node's own cache, where the input has one
	local   dnsTarget   // that cache's address, for who allows it by name
}

type dnsTarget struct {
	end   cover.End
	proto netset.Proto
	port  uint16
}

// resolver finds the cluster's DNS in the input; nil if it is not there.
func (r *run) resolver() *resolver {
	out := &resolver{pods: map[int]bool{}, local: addressTarget(localDNS)}
	snap := r.Model.Snapshot()
	for i := range snap.Services {
		s := &snap.Services[i]
		if len(s.Selector) == 0 || !slices.Contains(dnsNamespaces, s.Namespace) {
			continue
		}
		for _, sp := range s.Ports {
			if sp.Port == dnsPort {
				r.addBackends(out, s, sp)
			}
		}
	}
	if len(out.targets) == 0 {
		r.addNamedResolver(out)
	}
	if len(out.targets) == 0 {
		return nil
	}
	if r.runsNodeCache() {
		out.cache = r.cacheTargets()
	}
	return out
}

// runsNodeCache tells whether the input has the cache that clusters may run on each node.
func (r *run) runsNodeCache() bool {
	pods := r.Model.Snapshot().Pods
	return slices.ContainsFunc(r.population().host[dnsNamespaces[0]], func(i int) bool { return pods[i].Labels["k8s-app"] == "node-local-dns" })
}

// nodeCache tells whether nodes have a cache, in the input or because an egress rule of a policy is about its address.
func (r *run) nodeCache(p *policy.Policy) bool {
	return r.runsNodeCache() || blocksOf(p, namesLocalDNS)
}

// answeredOnNode tells whether a Service is the cluster's DNS: a cache on the node answers at its address, so
// that policies see it.
func answeredOnNode(s *cluster.Service) bool {
	return slices.Contains(dnsNamespaces, s.Namespace) && slices.ContainsFunc(s.Ports, func(p cluster.ServicePort) bool { return p.Port == dnsPort })
}

// addBackends adds the pods behind a port of a Service.
func (r *run) addBackends(out *resolver, s *cluster.Service, sp cluster.ServicePort) {
	name := s.Namespace + "/service/" + s.Name
	for _, b := range r.backends(s, sp) {
		out.add(name, b.end, sp.Proto, b.port)
		out.pods[b.end.Index] = true
	}
}

func (x *resolver) add(name string, end cover.End, proto netset.Proto, port uint16) {
	if x.name == "" {
		x.name = name
	}
	x.targets = append(x.targets, dnsTarget{end, proto, port})
}

// addNamedResolver adds the pods that carry the resolver's label, where no Service is in the input.
func (r *run) addNamedResolver(out *resolver) {
	snap := r.Model.Snapshot()
	for class := range r.Model.Classes() {
		c := &r.Model.Classes()[class]
		app := c.Labels["k8s-app"]
		if c.Namespace != dnsNamespaces[0] || app != "kube-dns" && app != "coredns" {
			continue
		}
		for _, end := range r.search().Pods(class) {
			for _, proto := range []netset.Proto{netset.UDP, netset.TCP} {
				out.add(snap.Pods[end.Index].Owner.String(), end, proto, dnsPort)
			}
			out.pods[end.Index] = true
		}
	}
}

// cacheTargets are the addresses that pods ask where each node runs a cache: the cache's own, and the
// Services', which it answers too.
func (r *run) cacheTargets() []dnsTarget {
	out := []dnsTarget{addressTarget(localDNS)}
	snap := r.Model.Snapshot()
	for i := range snap.Services {
		if s := &snap.Services[i]; slices.Contains(dnsNamespaces, s.Namespace) {
			for _, a := range s.ClusterIPs {
				out = append(out, addressTarget(a))
			}
		}
	}
	return out
}

// addressTarget is an address that answers on port 53 of both protocols.
func addressTarget(a netip.Addr) dnsTarget {
	return dnsTarget{end: cover.End{End: flow.End{Kind: flow.Address, Addr: a}, Family: flow.FamilyOf(a)}, port: dnsPort}
}

func dnsCut(r *run) { r.eachDNS(netset.UDP) }

func dnsTCPCut(r *run) { r.eachDNS(netset.TCP) }

// eachDNS looks at each class that may connect to something: with UDP for those that cannot ask the
// resolver over UDP, with TCP for those that can, but not over TCP.
func (r *run) eachDNS(proto netset.Proto) {
	x := r.resolver()
	var g gathered
	for class := range r.Model.Classes() {
		if f, ok := r.dnsOf(x, class, proto); ok {
			if _, meant := r.allowsAddress(class); !meant && r.namesAddressesOnly(class) {
				f.Severity = Note
			}
			g.add(f, r.workloads([]int{class})...)
		}
	}
	g.flush(r)
}

// dnsOf makes the finding about a class, without the names of its workloads.
func (r *run) dnsOf(x *resolver, class int, proto netset.Proto) (Finding, bool) {
	if x == nil {
		return r.noWayToDNS(class, proto)
	}
	witness, d, cut := r.cutFrom(x, class, proto)
	if !cut {
		return Finding{}, false
	}
	if proto == netset.TCP {
		if _, _, too := r.cutFrom(x, class, netset.UDP); too {
			return Finding{}, false // dns-cut says it
		}
		return r.onDenial(&witness, d, fmt.Sprintf(" cannot reach the cluster's DNS, %s, on tcp/53", x.name),
			"Answers that are too long for UDP do not arrive.", "Allow tcp/53 beside udp/53.")
	}
	reason := "They are isolated for egress and no rule lets them out to it, so no name resolves."
	if d == flow.Ingress {
		reason = "Its own pods do not let them in, so no name resolves."
	} else if a, ok := r.allowsAddress(class); ok {
		reason = fmt.Sprintf("A rule names the Service's address %s, but policies see the pods behind it, so no name resolves.", a)
	}
	f, ok := r.onDenial(&witness, d, fmt.Sprintf(" cannot reach the cluster's DNS, %s, on udp/53", x.name), reason, r.dnsFix(x, d))
	if f.Path != "" {
		f.Reason, f.Fix = "This rule denies it, so no name resolves.", "Accept udp/53 and tcp/53 to its pods in a rule before this one."
	}
	return f, ok
}

func (r *run) dnsFix(x *resolver, d flow.Direction) string {
	for _, t := range x.targets {
		p := &r.Model.Snapshot().Pods[t.end.Index]
		for _, key := range []string{"k8s-app", "app.kubernetes.io/name", "dns.operator.openshift.io/daemonset-dns"} {
			if v, ok := p.Labels[key]; ok && d == flow.Egress {
				return fmt.Sprintf("Allow egress to pods with %s=%s in namespace %s on udp/%d and tcp/%d.", key, v, p.Namespace, t.port, t.port)
			}
		}
	}
	if d == flow.Egress {
		return "Allow egress to its pods on udp/53 and tcp/53."
	}
	return "Allow ingress from every namespace on udp/53 and tcp/53."
}

// cutFrom tells whether every way to the resolver over a protocol is surely denied to a class that may
// connect to something, and gives one flow and the direction that denies it. A class whose egress is
// denied altogether has no use for names.
func (r *run) cutFrom(x *resolver, class int, proto netset.Proto) (witness flow.Flow, d flow.Direction, cut bool) {
	if !r.connects(class) {
		return witness, d, false
	}
	others := x.cache
	if r.eachBlock(class, namesLocalDNS) {
		others = append(slices.Clone(others), x.local)
	}
	d = flow.Egress
	for _, from := range r.search().Pods(class) {
		if x.pods[from.Index] {
			return witness, d, false
		}
		for _, t := range slices.Concat(x.targets, others) {
			f, ok := flowBetween(from, t.end)
			if !ok || t.proto != 0 && t.proto != proto {
				continue
			}
			f.Proto, f.Port = proto, t.port
			if !r.closed(&f) {
				return witness, d, false
			}
			if r.decided(&f, flow.Egress) != flow.Denied {
				d = flow.Ingress
				witness, cut = f, true
			} else if !cut {
				witness, cut = f, true
			}
		}
	}
	return witness, d, cut
}

// connects tells whether some rule may let a class out, or nothing keeps it in.
func (r *run) connects(class int) bool {
	s := r.Model.Classes()[class].Subject(flow.Egress)
	return len(s.Policies) == 0 || slices.ContainsFunc(s.Policies, func(p *policy.Policy) bool { return len(p.Rules(flow.Egress)) > 0 })
}

// eachBlock visits the blocks in the egress rules of the NetworkPolicies of a class until visit gives true.
func (r *run) eachBlock(class int, visit func(*policy.Block) bool) bool {
	return slices.ContainsFunc(r.Model.Classes()[class].Subject(flow.Egress).Policies, func(p *policy.Policy) bool { return blocksOf(p, visit) })
}

// blocksOf visits the blocks in the egress rules of a policy until visit gives true.
func blocksOf(p *policy.Policy, visit func(*policy.Block) bool) bool {
	rules := p.Rules(flow.Egress)
	for i := range rules {
		for j := range rules[i].Peers {
			for k := range rules[i].Peers[j].Blocks {
				if visit(&rules[i].Peers[j].Blocks[k]) {
					return true
				}
			}
		}
	}
	return false
}

// namesLocalDNS tells whether a block is for the node's cache: then there is one, in the input or not.
func namesLocalDNS(b *policy.Block) bool {
	return b.CIDR.IsValid() && b.CIDR.Bits() >= 16 && b.Contains(localDNS)
}

// namesAddressesOnly tells whether all that the rules of a class's NetworkPolicies let out to is some machines
// by address, which need no names.
func (r *run) namesAddressesOnly(class int) bool {
	policies := r.Model.Classes()[class].Subject(flow.Egress).Policies
	return len(policies) > 0 && !slices.ContainsFunc(policies, func(p *policy.Policy) bool {
		return slices.ContainsFunc(p.Rules(flow.Egress), func(rule policy.Rule) bool {
			return len(rule.Peers) == 0 || slices.ContainsFunc(rule.Peers, func(peer policy.Peer) bool {
				return peer.Kind != policy.BlockPeer || !slices.ContainsFunc(peer.Blocks, func(b policy.Block) bool { return b.CIDR.IsValid() && narrow(&b) })
			})
		})
	})
}

// allowsAddress gives the resolver's Service address that a rule is about.
func (r *run) allowsAddress(class int) (netip.Addr, bool) {
	var out netip.Addr
	snap := r.Model.Snapshot()
	found := r.eachBlock(class, func(b *policy.Block) bool {
		for i := range snap.Services {
			s := &snap.Services[i]
			for _, out = range s.ClusterIPs {
				if slices.Contains(dnsNamespaces, s.Namespace) && b.CIDR == netip.PrefixFrom(out, out.BitLen()) {
					return true
				}
			}
		}
		return false
	})
	return out, found
}

// noWayToDNS judges a class where the input holds no resolver: it is cut off only if no rule could let
// port 53 out to where a cluster keeps one.
func (r *run) noWayToDNS(class int, proto netset.Proto) (Finding, bool) {
	c := &r.Model.Classes()[class]
	s := c.Subject(flow.Egress)
	if len(s.Policies) == 0 || len(s.Admin) > 0 || len(c.Foreign(flow.Egress)) > 0 || !r.connects(class) ||
		slices.Contains(dnsNamespaces, c.Namespace) || len(r.Model.Snapshot().Unreadable) > 0 || r.mayAskDNS(s, proto) {
		return Finding{}, false
	}
	at := r.isolating(class, flow.Egress)
	if proto == netset.TCP {
		if !r.mayAskDNS(s, netset.UDP) {
			return Finding{}, false
		}
		return onPolicy(at, "", " cannot reach a DNS resolver on tcp/53", "Answers that are too long for UDP do not arrive. "+
			"The input holds no resolver; no rule could let them out to one in kube-system.", "Allow tcp/53 beside udp/53."), true
	}
	return onPolicy(at, "", " cannot reach any DNS resolver on udp/53", "They are isolated for egress, and no rule could let them out to a resolver in kube-system, "+
		"so no name resolves. The input holds no resolver.", "Allow egress to pods with k8s-app=kube-dns in namespace kube-system on udp/53 and tcp/53."), true
}

// mayAskDNS tells whether some rule could let port 53 out to where a resolver may be: by address, in a
// namespace that clusters keep one in, or anywhere if the rule is about that port. The pods there may have any labels.
func (r *run) mayAskDNS(s *policy.Subject, proto netset.Proto) bool {
	for _, p := range s.Policies {
		rules := p.Rules(flow.Egress)
		for i := range rules {
			fits, meant := mayBeDNSPort(&rules[i], proto)
			if meant || fits && (rules[i].Peers == nil || slices.ContainsFunc(rules[i].Peers, r.mayHoldDNS)) {
				return true
			}
		}
	}
	return false
}

// mayBeDNSPort tells whether a rule fits the port of a resolver, and whether that port is meant and not
// just every one. A named port may be any number; resolvers behind a Service listen on 5353 too.
func mayBeDNSPort(rule *policy.Rule, proto netset.Proto) (fits, meant bool) {
	for _, p := range rule.Ports {
		named := p.Name != "" && (p.Proto == 0 || p.Proto == proto)
		number := p.Name == "" && p.Proto == proto && (p.Range.Contains(dnsPort) || p.Range.Contains(5353))
		fits = fits || named || number
		meant = meant || named && strings.Contains(p.Name, "dns") || number && p.Range != netset.AllPorts
	}
	return fits || rule.Ports == nil, meant
}

func (r *run) mayHoldDNS(p policy.Peer) bool {
	switch {
	case p.Kind == policy.BlockPeer:
		return true
	case p.Kind != policy.PodPeer || p.Namespace != "":
		return false
	}
	return slices.ContainsFunc(dnsNamespaces, func(name string) bool {
		labels, complete := map[string]string{cluster.MetadataNameLabel: name}, false
		if ns := r.Model.Snapshot().NamespaceByName(name); ns != nil {
			labels, complete = ns.Labels, !ns.Assumed
		}
		return p.Namespaces.Match(labels, complete) != policy.No
	})
}
