package lint

import (
	"fmt"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/cover"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// metadataRules are about the addresses at which clouds give a machine its credentials (S27).
var metadataRules = []*Rule{
	{ID: "metadata-reachable", Severity: Warning, Title: "a rule lets pods out to the cloud's metadata address", check: metadataReachable},
	{ID: "metadata-open", Severity: Note, Title: "nothing keeps pods from the cloud's metadata address", check: metadataOpen},
}

// metadataFlows gives the flows by which a class would read metadata.
func (r *run) metadataFlows(class int) []flow.Flow {
	var out []flow.Flow
	for _, family := range r.Model.Families() {
		own, ok := r.anyPod(class, family, -1)
		if !ok {
			continue
		}
		for _, m := range r.Model.MetadataPorts() {
			to := cover.End{End: flow.End{Kind: flow.Address, Addr: m.Addr()}, Family: flow.FamilyOf(m.Addr())}
			if f, ok := flowBetween(own, to); ok {
				f.Proto, f.Port = netset.TCP, m.Port()
				out = append(out, f)
			}
		}
	}
	return out
}

// leak is a metadata address that a rule lets pods out to.
type leak struct {
	rule cluster.RuleID
	addr netip.Addr
}

func metadataReachable(r *run) {
	order, found, _ := r.leaks()
	for _, l := range order {
		r.addLeak(l, found[l])
	}
}

// leaks finds the rules that surely let classes out to a metadata address, and the classes that no rule
// keeps in: because nothing isolates them, or because a rule allows plainly everything.
func (r *run) leaks() (order []leak, found map[leak][]int, open []int) {
	found = map[leak][]int{}
	for class := range r.Model.Classes() {
		for _, f := range r.metadataFlows(class) {
			if r.decided(&f, flow.Egress) != flow.Allowed {
				continue
			}
			d := eval.Decide(r.Model, &f).Egress
			l := leak{d.Rule, f.To.Addr}
			l.rule.Port = -1
			switch {
			case r.allowsPlainlyAll(&d):
				open = append(open, class)
			case found[l] == nil:
				order = append(order, l)
				fallthrough
			default:
				found[l] = append(found[l], class)
			}
		}
	}
	for l := range found {
		found[l] = compact(found[l])
	}
	return order, found, compact(open)
}

// allowsPlainlyAll tells whether a direction was not decided by a rule, or by one without peers and ports.
func (r *run) allowsPlainlyAll(d *eval.Direction) bool {
	if d.Rule == (cluster.RuleID{}) {
		return true
	}
	rules := r.policy(d.Rule.Policy).Rules(d.Direction)
	i := slices.IndexFunc(rules, func(x policy.Rule) bool { return x.Index == d.Rule.Rule })
	return i >= 0 && allowsAll(rules[i])
}

func (r *run) addLeak(l leak, classes []int) {
	p := r.policy(l.rule.Policy)
	hole := netip.PrefixFrom(l.addr, l.addr.BitLen())
	fix := fmt.Sprintf("Name what they need in to, or use an ipBlock with except: [%s].", hole)
	switch {
	case l.addr == policy.AzureWire:
		fix = "Name other ports than 80 and 32526 in the rule: 53 there is Azure's own DNS, which some need."
	case p.Tier != policy.NetworkPolicyTier:
		fix = fmt.Sprintf("Deny %s in an earlier rule.", hole)
	case l.rule.Peer >= 0:
		fix = fmt.Sprintf("Add %s to except.", hole)
	}
	r.add(onPolicy(p, l.rule.Path(), fmt.Sprintf("lets %s out to the metadata address %s", list(r.workloads(classes)), l.addr),
		"In a cloud, whoever gets into such a pod can ask there for the credentials of its node.", fix))
}

// metadataOpen says once for the cluster which pods may connect out to everything, and so to these addresses.
func metadataOpen(r *run) {
	_, _, open := r.leaks()
	if len(open) == 0 {
		return
	}
	r.add(Finding{Message: fmt.Sprintf("nothing keeps these from the metadata addresses of clouds: %s", list(r.workloads(open))),
		Reason: "In a cloud, whoever gets into such a pod can ask there for the credentials of its node.",
		Fix:    "Isolate them for egress, or block the address for the whole cluster and say so with --block-metadata."})
}
