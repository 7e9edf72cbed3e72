package layers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// wall is the firewall of a service, compiled.
type wall struct {
	*v1alpha1.ExternalFirewall
	ranges []netipx.IPRange // of the IP rules; invalid ones admit nothing
	union  *netipx.IPSet
	azure  []string // the paths of what admits whatever runs in Azure
}

func newWall(f *v1alpha1.ExternalFirewall) wall {
	out := wall{ExternalFirewall: f}
	if f.AllowAzureServices {
		out.azure = append(out.azure, "spec.firewall.allowAzureServices")
	}
	var b netipx.IPSetBuilder
	for i, r := range f.IPRules {
		first, err := netip.ParseAddr(r.First)
		last, err2 := netip.ParseAddr(r.Last)
		var ips netipx.IPRange
		if err == nil && err2 == nil && plain(first) && plain(last) {
			ips = netipx.IPRangeFrom(first, last)
		}
		if zero := netip.IPv4Unspecified(); first == zero && last == zero {
			ips = netipx.IPRange{}
			out.azure = append(out.azure, fmt.Sprintf("spec.firewall.ipRules[%d]", i))
		}
		if ips.IsValid() {
			b.AddRange(ips)
		}
		out.ranges = append(out.ranges, ips)
	}
	out.union, _ = b.IPSet() // the ranges are valid
	return out
}

func (w *wall) empty() bool {
	return len(w.azure) == 0 && len(w.IPRules) == 0 && len(w.SubnetRules) == 0
}

// firewall is L32.
func (l *Model) firewall(f *flow.Flow, x *service) Step {
	s := Step{Layer: ExternalFirewall}
	w := &x.wall
	switch {
	case len(x.NotUnderstood) > 0:
		s.Answer, s.Reason, s.Refs = Unknown, NotUnderstood, []Ref{x.ref("")}
		return s
	case x.Spec.Firewall == nil:
		s.Reason = NoFirewall
		return s
	case x.isPrivate(f.To.Addr):
		i := slices.Index(x.private, f.To.Addr)
		s.Answer, s.Reason, s.Refs = Allow, AtPrivateEndpoint, []Ref{x.ref(fmt.Sprintf("spec.firewall.privateEndpoints[%d]", i))}
		return s
	case w.PublicNetworkAccess == v1alpha1.PublicDisabled:
		s.Answer, s.Reason, s.Refs = Deny, PublicAccessDisabled, []Ref{x.ref("spec.firewall.publicNetworkAccess")}
		return s
	}
	var all []Step
	for _, a := range l.appearances(f, x) {
		all = append(all, x.admits(a))
	}
	out := all[0]
	for _, o := range all[1:] {
		if o.Answer != out.Answer {
			return Step{Layer: ExternalFirewall, Answer: Unknown, Reason: SourceUnknown, Refs: []Ref{x.ref("spec.sources")}}
		}
	}
	return out
}

// appearance is as what a source may appear at a service (L31): a subnet, addresses, or something unknown.
type appearance struct {
	subnet string
	addrs  []netip.Prefix
}

// appearances lists the possibilities; there is at least one.
func (l *Model) appearances(f *flow.Flow, x *service) []appearance {
	if f.From.Kind == flow.Address {
		return []appearance{{addrs: own(f)}}
	}
	labels, known := l.nodeLabels(f)
	var out []appearance
	for i := range x.Spec.Sources {
		src := &x.Spec.Sources[i]
		sure := len(src.NodeSelector) == 0
		if !sure && known {
			if !cluster.HasLabels(labels, src.NodeSelector) {
				continue
			}
			sure = true
		}
		a := appearance{subnet: src.Subnet, addrs: ofFamily(prefixes(src.Addresses), f.Family)}
		if src.PodAddresses {
			a.addrs = own(f)
		}
		if out = append(out, a); sure {
			return out
		}
	}
	return append(out, appearance{})
}

// ofFamily keeps the addresses that a connection of a family can come from.
func ofFamily(list []netip.Prefix, family flow.Family) []netip.Prefix {
	return slices.DeleteFunc(list, func(p netip.Prefix) bool { return flow.FamilyOf(p.Addr()) != family })
}

// own gives the source's own address, if it is known.
func own(f *flow.Flow) []netip.Prefix {
	if !f.From.Addr.IsValid() {
		return nil
	}
	return []netip.Prefix{netip.PrefixFrom(f.From.Addr, f.From.Addr.BitLen())}
}

// nodeLabels gives the labels of the source's node; known is false where they are not.
func (l *Model) nodeLabels(f *flow.Flow) (labels map[string]string, known bool) {
	i := f.From.Index
	if f.From.Kind == flow.Pod {
		if i = l.snap.NodeIndex(l.snap.Pods[i].NodeName); i < 0 {
			return nil, false
		}
	}
	return l.snap.Nodes[i].Labels, !l.snap.Nodes[i].Assumed
}

// admits asks the rules for one appearance.
func (x *service) admits(a appearance) Step {
	s := Step{Layer: ExternalFirewall, Answer: Deny, Reason: NoRuleAdmits, Refs: []Ref{x.ref("spec.firewall")}}
	w := &x.wall
	if w.empty() {
		return s
	}
	if a.subnet != "" {
		i := slices.IndexFunc(w.SubnetRules, func(r v1alpha1.SubnetRule) bool { return strings.EqualFold(r.Subnet, a.subnet) })
		if i >= 0 {
			s.Answer, s.Reason, s.Refs = Allow, SubnetRule, []Ref{x.ref(fmt.Sprintf("spec.firewall.subnetRules[%d]", i))}
			return s
		}
		return x.azure(s, strings.HasPrefix(strings.ToLower(a.subnet), "/subscriptions/"))
	}
	if len(a.addrs) == 0 {
		s.Answer, s.Reason, s.Refs = Unknown, SourceUnknown, []Ref{x.ref("spec.sources")}
		return s
	}
	in, out := 0, 0
	for _, p := range a.addrs {
		switch {
		case w.union.ContainsPrefix(p):
			in++
		case !w.union.OverlapsPrefix(p):
			out++
		}
	}
	switch len(a.addrs) {
	case in:
		s.Answer, s.Reason, s.Refs = Allow, IPRule, x.ipRules(a.addrs)
		return s
	case out:
		return x.azure(s, false)
	}
	s.Answer, s.Reason, s.Refs = Unknown, SourceUnknown, []Ref{x.ref("spec.firewall.ipRules")}
	return s
}

// azure turns a denial into what the rule for Azure's services makes of it.
func (x *service) azure(s Step, inAzure bool) Step {
	if len(x.wall.azure) == 0 {
		return s
	}
	s.Answer, s.Reason, s.Refs = Unknown, AzureServices, []Ref{x.ref(x.wall.azure[0])}
	if inAzure {
		s.Answer = Allow
	}
	return s
}

// ipRules names the IP rules that some of the addresses are in.
func (x *service) ipRules(addrs []netip.Prefix) []Ref {
	var out []Ref
	for i, r := range x.wall.ranges {
		if r.IsValid() && slices.ContainsFunc(addrs, func(p netip.Prefix) bool { return r.Overlaps(netipx.RangeOfPrefix(p)) }) {
			out = append(out, x.ref(fmt.Sprintf("spec.firewall.ipRules[%d]", i)))
		}
	}
	return out
}
