package lint

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// blockRules are about ipBlock, and about networks in cluster policies.
var blockRules = []*Rule{
	{ID: "service-address-in-ipblock", Severity: Warning, Title: "an address block names the address of a Service, which no policy sees", check: serviceAddress},
	{ID: "ipblock-over-pods-or-nodes", Severity: Warning, Title: "an address block also holds addresses of pods or nodes", check: blockOverCluster},
	{ID: "ipblock-of-everything", Severity: Note, Title: "egress to every address also goes to every pod and node", check: blockOfEverything},
	{ID: "one-family-anywhere", Severity: Warning, Title: "a rule is for every address of one family, and the cluster has both", check: oneFamily},
}

// blockAt is a CIDR of a rule.
type blockAt struct {
	p     *policy.Policy
	d     flow.Direction
	rule  *policy.Rule
	peer  int
	block *policy.Block
}

// finding places a finding at the block; path is that of the peer, as blocks have no lines of their own.
func (a *blockAt) finding(message, reason, fix string) Finding {
	return onPolicy(a.p, peerPath(a.p, a.d, a.rule, a.peer), message, reason, fix)
}

func (r *run) blocks(visit func(a *blockAt)) {
	r.eachRule(func(p *policy.Policy, d flow.Direction, rule *policy.Rule) {
		for i := range rule.Peers {
			for j := range rule.Peers[i].Blocks {
				if b := &rule.Peers[i].Blocks[j]; b.CIDR.IsValid() {
					visit(&blockAt{p, d, rule, i, b})
				}
			}
		}
	})
}

// narrowBits is the number of host bits up to which a block is for some machines, not for a network.
const narrowBits = 8

func narrow(b *policy.Block) bool { return b.CIDR.Addr().BitLen()-b.CIDR.Bits() <= narrowBits }

// holder is an address that belongs to something of the cluster.
type holder struct {
	addr netip.Addr
	who  string
	at   int // index in its list of the Snapshot
}

// inBlock lists the holders, sorted by address, whose address is in a block; at most a few.
func inBlock(sorted []holder, b *policy.Block) []holder {
	at := func(a netip.Addr) int {
		i, _ := slices.BinarySearchFunc(sorted, a, func(h holder, a netip.Addr) int { return h.addr.Compare(a) })
		return i
	}
	var out []holder
	for i := at(b.CIDR.Addr()); i < len(sorted) && b.CIDR.Contains(sorted[i].addr) && len(out) <= most+1; {
		hole := slices.IndexFunc(b.Except, func(e netip.Prefix) bool { return e.Contains(sorted[i].addr) })
		if hole < 0 {
			out = append(out, sorted[i])
			i++
			continue
		}
		last := netipx.RangeOfPrefix(b.Except[hole]).To()
		for i = max(i+1, at(last)); i < len(sorted) && sorted[i].addr == last; i++ {
		}
	}
	return out
}

func sortHolders(list []holder) []holder {
	slices.SortStableFunc(list, func(a, b holder) int { return a.addr.Compare(b.addr) })
	return list
}

func serviceAddress(r *run) {
	snap := r.Model.Snapshot()
	var services []holder
	for i := range snap.Services {
		for _, a := range snap.Services[i].ClusterIPs {
			services = append(services, holder{a, "Service " + snap.Services[i].Namespace + "/" + snap.Services[i].Name, i})
		}
	}
	sortHolders(services)
	pods, nodes := r.addresses()
	r.blocks(func(a *blockAt) {
		in := inBlock(services, a.block)
		if len(in) == 0 || narrow(a.block) && answeredOnNode(&snap.Services[in[0].at]) && r.nodeCache(a.p) {
			return
		}
		s := &snap.Services[in[0].at]
		message := fmt.Sprintf("%s is the address of %s", in[0].addr, in[0].who)
		fix := "Name the addresses of its backends: those of its EndpointSlices."
		switch {
		case !narrow(a.block):
			if !serviceRange(a.block) || r.podsIn(pods, a.block) != "" || len(inBlock(nodes, a.block)) > 0 {
				return
			}
			message = fmt.Sprintf("%s holds addresses of Services, such as %s of %s, and none known of pods or nodes", a.block, in[0].addr, in[0].who)
			fix = "Select the pods of the Services that are meant."
		case len(s.Selector) > 0:
			fix = "Select its pods instead: " + selectorWords(s.Selector) + " in namespace " + s.Namespace + differentPorts(s) + "."
		}
		reason := "A packet to a Service has the address of a backend before policies are asked: the block does not let anybody reach it."
		if a.d == flow.Ingress {
			reason = "No packet comes from the address of a Service."
		}
		f := a.finding(message, reason, fix)
		if narrow(a.block) && a.holdsBackends(s) {
			f.Severity, f.Fix = Note, "Take it out: the rule names the addresses of its backends too."
		}
		r.add(f)
	})
}

// holdsBackends tells whether blocks of the rule hold every address that EndpointSlices give a Service.
func (a *blockAt) holdsBackends(s *cluster.Service) bool {
	return len(s.Slices) > 0 && !slices.ContainsFunc(s.Slices, func(b cluster.Backend) bool {
		return !slices.ContainsFunc(a.rule.Peers, func(p policy.Peer) bool {
			return slices.ContainsFunc(p.Blocks, func(block policy.Block) bool { return block.CIDR.IsValid() && block.Contains(b.Addr) })
		})
	})
}

// serviceRange tells whether a block may be the range that a cluster gives its Services addresses
// from: those are seldom larger.
func serviceRange(b *policy.Block) bool {
	if b.CIDR.Addr().Is4() {
		return b.CIDR.Bits() >= 12
	}
	return b.CIDR.Bits() >= 64
}

func selectorWords(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// differentPorts reminds of a Service's ports that pods have elsewhere.
func differentPorts(s *cluster.Service) string {
	for _, p := range s.Ports {
		target := p.TargetName
		if target == "" {
			target = fmt.Sprint(p.Target)
		}
		if p.TargetName != "" || p.Target != p.Port {
			return fmt.Sprintf(", with port %s where the Service has %d", target, p.Port)
		}
	}
	return ""
}

func blockOverCluster(r *run) {
	if r.Model.Options().Behaviour.BlocksMatchOutsideOnly {
		return // then no block matches a pod or a node
	}
	pods, nodes := r.addresses()
	r.blocks(func(a *blockAt) {
		if a.block.CIDR.Bits() == 0 {
			return // see blockOfEverything
		}
		var what []string
		inPods := r.podsIn(pods, a.block)
		if inPods != "" {
			what = append(what, inPods)
		}
		if in := inBlock(nodes, a.block); len(in) > 0 && !narrow(a.block) { // a narrow one means them
			what = append(what, "holds addresses of nodes: "+holders(in))
		}
		if len(what) == 0 {
			return
		}
		fix := "Put the ranges of the cluster under except, if addresses outside it were meant."
		switch {
		case narrow(a.block):
			fix = "Select the pods by labels: their addresses change."
		case a.p.Tier != policy.NetworkPolicyTier:
			fix = "Leave the ranges of the cluster out, if addresses outside it were meant."
		}
		verb := "is also for them"
		if a.rule.Action == policy.Deny {
			verb = "also denies them"
		}
		f := a.finding(fmt.Sprintf("%s %s", a.block, strings.Join(what, ", and ")), "The rule "+verb+", whatever their labels are.", fix)
		if inPods == "" {
			f.Severity = Note // the network of the nodes is often what is meant: no selector is for them
		}
		r.add(f)
	})
}

// podsIn says which known pods a block holds, or "".
func (r *run) podsIn(pods []holder, b *policy.Block) string {
	if ranges := r.podRanges(b); ranges != "" {
		return ranges
	}
	if in := inBlock(pods, b); len(in) > 0 {
		return "holds addresses of pods: " + holders(in)
	}
	return ""
}

func holders(in []holder) string {
	var out []string
	for _, h := range in {
		out = append(out, h.addr.String()+" ("+h.who+")")
	}
	return list(out)
}

// podRanges says how a block lies to the known pod ranges that it overlaps, or "".
func (r *run) podRanges(b *policy.Block) string {
	var in []string
	for _, p := range r.Model.PodRanges() {
		hidden := slices.ContainsFunc(b.Except, func(e netip.Prefix) bool { return e.Bits() <= p.Bits() && e.Contains(p.Addr()) })
		switch {
		case !b.CIDR.Overlaps(p) || hidden:
		case p.Bits() < b.CIDR.Bits():
			return "lies in the pod range " + p.String()
		default:
			in = append(in, p.String())
		}
	}
	switch len(in) {
	case 0:
		return ""
	case 1:
		return "holds the pod range " + in[0]
	}
	return "holds the pod ranges " + list(in)
}

// addresses lists the known addresses of pods and of nodes, sorted.
func (r *run) addresses() (pods, nodes []holder) {
	snap := r.Model.Snapshot()
	for i := range snap.Pods {
		for _, a := range snap.Pods[i].Addrs {
			if !snap.Pods[i].HostNetwork {
				pods = append(pods, holder{a, snap.Pods[i].String(), i})
			}
		}
	}
	for i := range snap.Nodes {
		for _, a := range snap.Nodes[i].Addrs {
			nodes = append(nodes, holder{a, "node/" + snap.Nodes[i].Name, i})
		}
	}
	return sortHolders(pods), sortHolders(nodes)
}

func blockOfEverything(r *run) {
	if r.Model.Options().Behaviour.BlocksMatchOutsideOnly {
		return
	}
	pods, _ := r.addresses()
	r.blocks(func(a *blockAt) {
		if a.block.CIDR.Bits() > 0 || a.d != flow.Egress || a.rule.Action != policy.Accept {
			return
		}
		what := "holds every pod and every node of the cluster too"
		if len(a.block.Except) > 0 {
			what = r.podsIn(pods, a.block)
		}
		if what != "" {
			r.add(a.finding(a.block.String()+" "+what, "The rule lets packets out to each of them, as far as they let them in.",
				"Name the ranges that are needed, or put the cluster's own under except."))
		}
	})
}

// oneFamily looks for rules for everybody in one family, where the policy says nothing of the other and
// the cluster has both.
func oneFamily(r *run) {
	if len(r.Model.Families()) < 2 {
		return
	}
	for _, p := range r.Model.Policies() {
		for _, d := range flow.Directions {
			var whole [2]*blockAt
			other := [2]bool{}
			for i := range p.Rules(d) {
				rule := &p.Rules(d)[i]
				for j := range rule.Peers {
					for k := range rule.Peers[j].Blocks {
						b := &rule.Peers[j].Blocks[k]
						f := flow.FamilyOf(b.CIDR.Addr()) - 1
						other[f] = true
						if whole[f] == nil && b.CIDR.IsValid() && b.CIDR.Bits() == 0 {
							whole[f] = &blockAt{p, d, rule, j, b}
						}
					}
				}
			}
			for f, a := range whole {
				if a != nil && !other[1-f] {
					r.add(a.finding(fmt.Sprintf("%s is for %s only, and the pods have %s too", a.block.CIDR, familyName(f), familyName(1-f)),
						fmt.Sprintf("Over %s the rule matches nothing.", familyName(1-f)),
						fmt.Sprintf("Add a peer with %s.", [2]string{"0.0.0.0/0", "::/0"}[1-f])))
				}
			}
		}
	}
}

func familyName(f int) string { return [2]string{"IPv4", "IPv6"}[f] }
