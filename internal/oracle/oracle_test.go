package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

func addrs(s ...string) (out []netip.Addr) {
	for _, a := range s {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// base is the cluster of the tables, without policies. Pods a and b are in blue, c in red, g in
// grey, whose object is not in the input; t is a template, h a hostNetwork pod on n1, u one on a
// node that is not known. Of node n2 the labels are not known.
func base() *cluster.Snapshot {
	ports := []cluster.ContainerPort{{Name: "http", Proto: netset.TCP, Port: 80}, {Name: "http", Proto: netset.TCP, Port: 8080},
		{Name: "http", Proto: netset.UDP, Port: 81}}
	pod := func(namespace, name, node string, a ...string) cluster.Pod {
		return cluster.Pod{Namespace: namespace, Name: name, NodeName: node, Addrs: addrs(a...), Ports: ports,
			Labels: map[string]string{"app": name}, Owner: cluster.Workload{Namespace: namespace, Kind: "pod", Name: name}}
	}
	s := &cluster.Snapshot{
		Namespaces: []cluster.Namespace{
			{Name: "blue", Labels: map[string]string{cluster.MetadataNameLabel: "blue", "team": "x"}},
			{Name: "grey", Labels: map[string]string{cluster.MetadataNameLabel: "grey"}, Assumed: true},
			{Name: "red", Labels: map[string]string{cluster.MetadataNameLabel: "red", "team": "z"}},
		},
		Pods: []cluster.Pod{
			pod("blue", "a", "n1", "10.0.0.1", "fd00::1"), pod("blue", "b", "n1", "10.0.0.2"), pod("blue", "h", "n1", "10.1.0.1"),
			pod("blue", "t", ""), pod("blue", "u", ""), pod("grey", "g", "n2", "10.0.1.2"), pod("red", "c", "", "10.0.1.1"),
		},
		Nodes: []cluster.Node{
			{Name: "n1", Labels: map[string]string{"role": "w"}, Addrs: addrs("10.1.0.1")},
			{Name: "n2", Assumed: true},
		},
	}
	s.Pods[2].HostNetwork, s.Pods[4].HostNetwork = true, true
	return s
}

// question reads "a > 1.2.3.4 tcp/80", with "via service", "v6" or "from 1.2.3.4" (spoofed) behind it.
func question(t *testing.T, s *cluster.Snapshot, text string) flow.Flow {
	t.Helper()
	words := strings.Fields(text)
	f := flow.Flow{Family: flow.IPv4}
	if slices.Contains(words, "v6") {
		f.Family = flow.IPv6
	}
	f.From, f.To = endOf(t, s, words[0], f.Family), endOf(t, s, words[2], f.Family)
	proto, port, _ := strings.Cut(words[3], "/")
	var err error
	if f.Proto, err = netset.ParseProto(proto); err != nil {
		t.Fatal(err)
	}
	if port != "" {
		if _, err := fmt.Sscan(port, &f.Port); err != nil {
			t.Fatal(err)
		}
	}
	f.ViaService = slices.Contains(words, "service")
	if i := slices.Index(words, "from"); i > 0 {
		f.From.Addr = netip.MustParseAddr(words[i+1])
	}
	return f
}

func endOf(t *testing.T, s *cluster.Snapshot, name string, family flow.Family) flow.End {
	if a, err := netip.ParseAddr(name); err == nil {
		return flow.End{Kind: flow.Address, Addr: a}
	}
	if i := slices.IndexFunc(s.Pods, func(p cluster.Pod) bool { return p.Name == name }); i >= 0 {
		return flow.End{Kind: flow.Pod, Index: i, Addr: s.Pods[i].Addr(family)}
	}
	i := s.NodeIndex(name)
	if i < 0 {
		t.Fatalf("no end %q", name)
	}
	e := flow.End{Kind: flow.Node, Index: i}
	for _, a := range s.Nodes[i].Addrs {
		if flow.FamilyOf(a) == family {
			e.Addr = a
		}
	}
	return e
}

// add reads policies: a line "name: spec" each; a name with a capital is a cluster policy
// ("Kind/name" for other kinds than ClusterNetworkPolicy), any other is a NetworkPolicy of blue.
func add(t *testing.T, s *cluster.Snapshot, policies string) {
	t.Helper()
	for line := range strings.Lines(policies) {
		name, spec, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if !ok {
			continue
		}
		if name == strings.ToLower(name) {
			np := &networkingv1.NetworkPolicy{}
			np.Namespace, np.Name = "blue", name
			if err := yaml.UnmarshalStrict([]byte(spec), &np.Spec); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			if len(np.Spec.PolicyTypes) == 0 {
				np.Spec.PolicyTypes = []networkingv1.PolicyType{"Ingress"}
				if len(np.Spec.Egress) > 0 {
					np.Spec.PolicyTypes = append(np.Spec.PolicyTypes, "Egress")
				}
			}
			s.NetworkPolicies = append(s.NetworkPolicies, cluster.NetworkPolicy{Object: np})
			continue
		}
		kind, short, ok := strings.Cut(name, "/")
		if !ok {
			kind, short = "ClusterNetworkPolicy", name
		}
		cp := &policyv1alpha2.ClusterNetworkPolicy{}
		cp.Name = short
		if err := yaml.UnmarshalStrict([]byte(spec), &cp.Spec); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		s.ClusterPolicies = append(s.ClusterPolicies, cluster.ClusterPolicy{Kind: kind, Object: cp})
	}
}

// short gives "verdict reason", then "name rule/peer/port" of the rule or the isolating policies.
func short(d Direction) string {
	out := d.Verdict.String() + " " + d.Reason.String()
	if d.Rule.Policy.Name != "" {
		out += fmt.Sprintf(" %s %d/%d/%d", d.Rule.Policy.Name, d.Rule.Rule, d.Rule.Peer, d.Rule.Port)
	}
	for _, p := range d.Isolating {
		out += " " + p.Name
	}
	return out
}

type ruleCase struct {
	rule     string // of docs/semantics.md
	policies string
	ask      string
	o        Options
	egress   string // not compared if empty
	ingress  string
}

func run(t *testing.T, cases []ruleCase) {
	t.Helper()
	for i, c := range cases {
		t.Run(fmt.Sprintf("%s/%d", c.rule, i), func(t *testing.T) {
			s := base()
			add(t, s, c.policies)
			a := Ask(s, c.o, question(t, s, c.ask))
			if got := short(a.Egress); c.egress != "" && got != c.egress {
				t.Errorf("%s\n%s\negress:  %s\nwant:    %s", c.ask, c.policies, got, c.egress)
			}
			if got := short(a.Ingress); c.ingress != "" && got != c.ingress {
				t.Errorf("%s\n%s\ningress: %s\nwant:    %s", c.ask, c.policies, got, c.ingress)
			}
		})
	}
}

func TestNetworkPolicyRules(t *testing.T) {
	const (
		inAll = `p: {podSelector: {}, ingress: [{}]}`
		inNo  = `p: {podSelector: {}, ingress: []}`
	)
	run(t, []ruleCase{
		{rule: "S10", ask: "c > a tcp/80", egress: "allowed default", ingress: "allowed default"},
		{rule: "S10", policies: inNo, ask: "c > a tcp/80", egress: "allowed default", ingress: "denied isolated p"},
		{rule: "S10", policies: inNo, ask: "a > c tcp/80", egress: "allowed default", ingress: "allowed default"},
		{rule: "S10", policies: inNo + "\nq: {podSelector: {}, ingress: [{}]}", ask: "c > a tcp/80", ingress: "allowed policy-rule q 0/-1/-1"},
		{rule: "S10", policies: "q" + inNo[1:] + "\n" + inNo, ask: "c > a tcp/80", ingress: "denied isolated p q"},
		{rule: "S11", policies: "p: {podSelector: {matchLabels: {app: b}}}", ask: "c > a tcp/80", ingress: "allowed default"},
		{rule: "S11", policies: "p: {podSelector: {matchLabels: {app: a}}}", ask: "c > a tcp/80", ingress: "denied isolated p"},
		{rule: "S12", policies: "p: {ingress: [{from: [{podSelector: {}}]}]}", ask: "b > a tcp/80", ingress: "allowed policy-rule p 0/0/-1"},
		{rule: "S12", policies: "p: {ingress: [{from: [{podSelector: {}}]}]}", ask: "c > a tcp/80", ingress: "denied isolated p"},
		{rule: "S12", policies: "p: {ingress: [{from: [{namespaceSelector: {matchLabels: {team: z}}}]}]}", ask: "c > a tcp/80", ingress: "allowed policy-rule p 0/0/-1"},
		{rule: "S12", policies: "p: {ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: a}}}]}]}", ask: "c > a tcp/80", ingress: "denied isolated p"},
		{rule: "S12", policies: "p: {ingress: [{from: [{namespaceSelector: {matchLabels: {team: z}}}, {podSelector: {matchLabels: {app: b}}}]}]}", ask: "b > a tcp/80", ingress: "allowed policy-rule p 0/1/-1"},
		{rule: "S12", policies: "p: {ingress: [{from: [{}]}]}", ask: "b > a tcp/80", ingress: "denied isolated p"},
		{rule: "S12", policies: "p: {ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 0.0.0.0/0}}]}]}", ask: "b > a tcp/80", ingress: "denied isolated p"},
		{rule: "S12", policies: "p: {ingress: [{from: [{namespaceSelector: {}}]}]}", ask: "1.2.3.4 > a tcp/80", ingress: "denied isolated p"},
		{rule: "S13", policies: inAll, ask: "1.2.3.4 > a icmp", ingress: "allowed policy-rule p 0/-1/-1"},
		{rule: "S13", policies: "p: {ingress: [{from: [], ports: []}]}", ask: "1.2.3.4 > a icmp", ingress: "allowed policy-rule p 0/-1/-1"},
		{rule: "S14", policies: "p: {ingress: [{ports: [{protocol: UDP}]}]}", ask: "c > a udp/7", ingress: "allowed policy-rule p 0/-1/0"},
		{rule: "S14", policies: "p: {ingress: [{ports: [{protocol: UDP}]}]}", ask: "c > a tcp/7", ingress: "denied isolated p"},
		{rule: "S14", policies: "p: {ingress: [{ports: [{port: 81}, {port: 80}]}]}", ask: "c > a tcp/80", ingress: "allowed policy-rule p 0/-1/1"},
		{rule: "S14", policies: "p: {ingress: [{ports: [{port: 80}]}]}", ask: "c > a udp/80", ingress: "denied isolated p"},
		{rule: "S14", policies: "p: {ingress: [{ports: [{port: http}]}]}", ask: "c > a tcp/8080", ingress: "allowed policy-rule p 0/-1/0"},
		{rule: "S14", policies: "p: {ingress: [{ports: [{port: http}]}]}", ask: "c > a tcp/81", ingress: "denied isolated p"},
		{rule: "S14", policies: "p: {ingress: [{ports: [{port: http}]}]}", ask: "c > a udp/81", ingress: "denied isolated p"},
		{rule: "S14", policies: "p: {ingress: [{from: [{ipBlock: {cidr: 1.0.0.0/8}}], ports: [{port: http}]}]}", ask: "1.2.3.4 > a tcp/80", ingress: "allowed policy-rule p 0/0/0"},
		{rule: "S14", policies: "p: {egress: [{to: [{namespaceSelector: {}}], ports: [{port: http}]}]}", ask: "a > c tcp/80", egress: "allowed policy-rule p 0/0/0"},
		{rule: "S14", policies: "p: {egress: [{ports: [{port: http}]}]}", ask: "a > c tcp/80", egress: "allowed policy-rule p 0/-1/0"},
		{rule: "S14", policies: "p: {egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}], ports: [{port: http}]}]}", ask: "a > c tcp/80", egress: "denied isolated p"},
		{rule: "S14", policies: "p: {egress: [{ports: [{port: http}]}]}", ask: "a > u tcp/80", egress: "unknown isolated p"}, // S22: u may be its node
		{rule: "S15", policies: "p: {ingress: [{ports: [{port: 80, endPort: 82}]}]}", ask: "c > a tcp/82", ingress: "allowed policy-rule p 0/-1/0"},
		{rule: "S15", policies: "p: {ingress: [{ports: [{port: 80, endPort: 82}]}]}", ask: "c > a tcp/83", ingress: "denied isolated p"},
		{rule: "S18", policies: "p: {egress: [{}]}", ask: "a > 1.2.3.4 tcp/80", egress: "allowed policy-rule p 0/-1/-1", ingress: "allowed no-policy-here"},
		{rule: "S18", policies: inNo, ask: "n2 > a tcp/80", egress: "allowed no-policy-here", ingress: "denied isolated p"},
		{rule: "S20", policies: "p: {ingress: [{ports: [{port: 1, endPort: 65535}]}]}", ask: "c > a icmp", ingress: "denied isolated p"},
		{rule: "S20", policies: "p: {ingress: [{from: [{namespaceSelector: {}}]}]}", ask: "c > a icmp", ingress: "allowed policy-rule p 0/0/-1"},
		{rule: "S21", policies: inNo, ask: "a > a tcp/80", egress: "allowed self", ingress: "allowed self"},
		{rule: "S21", policies: inNo, ask: "a > a tcp/80 via service", egress: "allowed default", ingress: "denied isolated p"},
		{rule: "S22", policies: inNo, ask: "n1 > a tcp/80", ingress: "allowed own-node"},
		{rule: "S22", policies: inNo, ask: "h > a tcp/80", ingress: "allowed own-node"},
		{rule: "S22", policies: "p: {policyTypes: [Egress]}", ask: "a > n1 tcp/80", egress: "allowed own-node"},
		{rule: "S22", policies: inNo, ask: "n2 > a tcp/80", ingress: "denied isolated p"},
		{rule: "S22", policies: inNo, ask: "n1 > t tcp/80", ingress: "unknown isolated p"},
		{rule: "S22", policies: inNo, ask: "u > a tcp/80", ingress: "unknown isolated p"},
		{rule: "S22", policies: inNo, ask: "10.1.0.77 > t tcp/80", ingress: "denied isolated p"}, // no node, though t's is not known
		{rule: "S22", policies: "B: {tier: Baseline, priority: 0, subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {}}]}]}", ask: "a > n1 tcp/80", egress: "denied baseline-rule B 0/0/-1"},
		{rule: "S22", policies: "A: {tier: Admin, priority: 0, subject: {namespaces: {}}, egress: [{action: Deny, to: [{nodes: {}}]}]}\np: {policyTypes: [Egress]}", ask: "a > n1 tcp/80", egress: "denied admin-rule A 0/0/-1"},
		{rule: "S23", policies: inNo, ask: "c > h tcp/80", ingress: "allowed no-policy-here"},
		{rule: "S23", policies: "p: {ingress: [{from: [{podSelector: {}}]}]}", ask: "u > b tcp/80", ingress: "unknown isolated p"},
		{rule: "S23", policies: "p: {podSelector: {matchLabels: {app: t}}, ingress: [{from: [{ipBlock: {cidr: 10.1.0.0/16}}]}]}", ask: "h > t tcp/80", ingress: "allowed policy-rule p 0/0/-1"},
		{rule: "S26", policies: inNo, ask: "c > a tcp/80", o: Options{NotEnforced: true}, ingress: "allowed not-enforced"},
		{rule: "S26", ask: "n1 > a tcp/80", o: Options{NotEnforced: true}, egress: "allowed no-policy-here"},
		{rule: "S27", ask: "a > 169.254.169.254 tcp/80", egress: "allowed default"},
		{rule: "S27", ask: "a > 169.254.169.254 tcp/80", o: Options{BlockMetadata: true}, egress: "denied metadata"},
		{rule: "S27", ask: "a > fd00:ec2::254 udp/80 v6", o: Options{BlockMetadata: true}, egress: "denied metadata"},
		{rule: "S27", ask: "h > 169.254.169.254 tcp/80", o: Options{BlockMetadata: true}, egress: "allowed no-policy-here"},
		{rule: "S27", ask: "a > 168.63.129.16 tcp/80", o: Options{BlockMetadata: true}, egress: "allowed default"},
		{rule: "S27", ask: "a > 168.63.129.16 tcp/32526", o: Options{BlockMetadata: true, Azure: true}, egress: "denied metadata"},
		{rule: "S27", ask: "a > 168.63.129.16 udp/80", o: Options{BlockMetadata: true, Azure: true}, egress: "allowed default"},
		{rule: "S27", ask: "a > 168.63.129.16 tcp/80", o: Options{Azure: true}, egress: "allowed default"},
		{rule: "S28", ask: "a > c tcp/80 from 10.0.0.9", egress: "denied spoofed", ingress: "allowed default"},
		{rule: "S28", ask: "t > c tcp/80 from 10.0.0.9", egress: "allowed default"},
		{rule: "S28", ask: "b > c tcp/80 v6 from fd00::1", egress: "denied spoofed"},
		{rule: "S28", ask: "a > a tcp/80 from 10.0.0.9", egress: "allowed self"},
		{rule: "S29", policies: "p: {policyTypes: [Egress], ingress: [{}]}", ask: "c > a tcp/80", ingress: "allowed default"},
		{rule: "S29", policies: "p: {policyTypes: [Ingress], egress: [{}]}", ask: "a > c tcp/80", egress: "allowed default"},
		{rule: "S32", policies: "p: {policyTypes: [Ingress, Egress]}", ask: "a > b tcp/80", egress: "denied isolated p", ingress: "denied isolated p"},
	})
}

func TestSelectors(t *testing.T) { // S30
	from := func(namespaceSelector string) string {
		return "p: {ingress: [{from: [{namespaceSelector: " + namespaceSelector + "}]}]}"
	}
	const allowed, denied, unknown = "allowed policy-rule p 0/0/-1", "denied isolated p", "unknown isolated p"
	var cases []ruleCase
	for _, c := range []struct{ selector, fromRed, fromGrey string }{
		{"{}", allowed, allowed},
		{"{matchLabels: {team: z}}", allowed, unknown},
		{"{matchLabels: {team: x}}", denied, unknown},
		{"{matchLabels: {team: z, kubernetes.io/metadata.name: red}}", allowed, denied},
		{"{matchLabels: {kubernetes.io/metadata.name: grey}}", denied, allowed},
		{"{matchExpressions: [{key: team, operator: In, values: [x, z]}]}", allowed, unknown},
		{"{matchExpressions: [{key: team, operator: NotIn, values: [x]}]}", allowed, unknown},
		{"{matchExpressions: [{key: team, operator: NotIn, values: [z]}]}", denied, unknown},
		{"{matchExpressions: [{key: none, operator: NotIn, values: [x]}]}", allowed, unknown},
		{"{matchExpressions: [{key: none, operator: DoesNotExist}]}", allowed, unknown},
		{"{matchExpressions: [{key: none, operator: Exists}]}", denied, unknown},
		{"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: Exists}]}", allowed, allowed},
		{"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: DoesNotExist}]}", denied, denied},
		{"{matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [red]}]}", denied, allowed},
	} {
		cases = append(cases, ruleCase{rule: "S30", policies: from(c.selector), ask: "c > a tcp/80", ingress: c.fromRed},
			ruleCase{rule: "S4", policies: from(c.selector), ask: "g > a tcp/80", ingress: c.fromGrey})
	}
	run(t, cases)
}

func TestBlocks(t *testing.T) { // S16, S17
	const allowed, denied, unknown = "allowed policy-rule p 0/0/-1", "denied isolated p", "unknown isolated p"
	ranges := func(s ...string) (out []netip.Prefix) {
		for _, p := range s {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	var cases []ruleCase
	for _, c := range []struct {
		rule, block, ask string
		o                Options
		want             string
	}{
		{"S16", "{cidr: 1.2.0.0/16}", "1.2.3.4 > a tcp/80", Options{}, allowed},
		{"S16", "{cidr: 1.3.0.0/16}", "1.2.3.4 > a tcp/80", Options{}, denied},
		{"S16", "{cidr: 1.2.0.0/16, except: [1.2.9.0/24, 1.2.3.0/24]}", "1.2.3.4 > a tcp/80", Options{}, denied},
		{"S16", "{cidr: 1.2.0.0/16, except: [1.2.4.0/24]}", "1.2.3.4 > a tcp/80", Options{}, allowed},
		{"S16", "{cidr: 001.02.3.9/16}", "1.2.8.4 > a tcp/80", Options{}, allowed},
		{"S16", "{cidr: 0.0.0.0/0}", "2001:db8::1 > a tcp/80 v6", Options{}, denied},
		{"S16", "{cidr: '::/0'}", "1.2.3.4 > a tcp/80", Options{}, denied},
		{"S16", "{cidr: nonsense}", "1.2.3.4 > a tcp/80", Options{}, denied},
		{"S16", "{cidr: '::ffff:10.0.0.0/104'}", "c > a tcp/80", Options{}, denied},
		{"S16", "{cidr: '::ffff:10.0.0.0/104'}", "t > a tcp/80 v6", Options{Strict: true}, denied},
		{"S17", "{cidr: 10.0.1.0/24}", "c > a tcp/80", Options{}, allowed},
		{"S17", "{cidr: 0.0.0.0/0}", "t > a tcp/80", Options{}, allowed},
		{"S17", "{cidr: 0.0.0.0/0, except: []}", "t > a tcp/80", Options{Strict: true}, allowed},
		{"S17", "{cidr: '::/0'}", "c > a tcp/80 v6", Options{}, allowed},
		{"S17", "{cidr: 0.0.0.0/0}", "c > a tcp/80 v6", Options{Strict: true}, denied},
		{"S17", "{cidr: 0.0.0.0/0, except: [9.0.0.0/8]}", "t > a tcp/80", Options{}, denied},
		{"S17", "{cidr: 0.0.0.0/0, except: [9.0.0.0/8]}", "t > a tcp/80", Options{Strict: true}, unknown},
		{"S17", "{cidr: 10.0.0.0/8}", "t > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/16")}, allowed},
		{"S17", "{cidr: 10.0.0.0/8}", "t > a tcp/80", Options{PodCIDRs: ranges("fd00::/64")}, denied},
		{"S17", "{cidr: 10.0.0.0/8}", "t > a tcp/80", Options{PodCIDRs: ranges("fd00::/64"), Strict: true}, unknown},
		{"S17", "{cidr: 10.0.0.0/8, except: [10.0.9.0/24]}", "t > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/16"), Strict: true}, unknown},
		{"S17", "{cidr: 10.0.0.0/8, except: [10.0.0.0/15]}", "t > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/16"), Strict: true}, denied},
		{"S17", "{cidr: 10.0.0.0/8, except: [10.0.0.0/17, 10.0.128.0/17]}", "t > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/16"), Strict: true}, unknown},
		{"S17", "{cidr: 11.0.0.0/8}", "t > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/16"), Strict: true}, denied},
		{"S17", "{cidr: 10.0.0.0/24}", "t > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/16"), Strict: true}, unknown},
		{"S17", "{cidr: 10.0.0.0/16}", "t > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/24", "10.9.0.0/24"), Strict: true}, unknown},
		{"S17", "{cidr: 10.0.0.0/8}", "n2 > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/8")}, denied},
		{"S17", "{cidr: 10.0.0.0/8}", "n2 > a tcp/80", Options{PodCIDRs: ranges("10.0.0.0/8"), Strict: true}, unknown},
	} {
		cases = append(cases, ruleCase{rule: c.rule, policies: "p: {ingress: [{from: [{ipBlock: " + c.block + "}]}]}", ask: c.ask, o: c.o, ingress: c.want})
	}
	run(t, cases)
	t.Run("ranges of facts and nodes", func(t *testing.T) {
		s := base()
		add(t, s, "p: {ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/16}}]}]}")
		s.Facts.PodCIDRs, s.Nodes[0].PodCIDRs = ranges("10.0.0.0/24"), ranges("10.0.1.0/24")
		f := question(t, s, "t > a tcp/80")
		if got := short(Ask(s, Options{}, f).Ingress); got != allowed {
			t.Error(got)
		}
		s.Nodes[0].PodCIDRs = ranges("10.9.0.0/24")
		if got := short(Ask(s, Options{Strict: true}, f).Ingress); got != unknown {
			t.Error(got)
		}
	})
}

// TestNotEvaluated: what was not evaluated but may decide makes unknown what policies decide (S2, S33).
func TestNotEvaluated(t *testing.T) {
	unreadable := func(missing ...cluster.Missing) func(*cluster.Snapshot) {
		return func(s *cluster.Snapshot) {
			for _, m := range missing {
				s.Unreadable = append(s.Unreadable, cluster.Unreadable{Why: "broken", Missing: m})
			}
		}
	}
	const policies, others, objects = cluster.MissingPolicies, cluster.MissingForeign, cluster.MissingObjects
	foreign := func(namespace string, ingress, egress bool) func(*cluster.Snapshot) {
		return func(s *cluster.Snapshot) {
			s.ForeignPolicies = []cluster.ForeignPolicy{{Namespace: namespace, Ingress: ingress, Egress: egress}}
		}
	}
	const normal, unclear = "allowed default, denied isolated p", "unknown default, unknown isolated p"
	for i, c := range []struct {
		change func(*cluster.Snapshot)
		ask    string
		o      Options
		want   string
	}{
		{unreadable(policies), "c > a tcp/80", Options{}, unclear},
		{unreadable(policies), "c > a tcp/80", Options{Strict: true}, unclear},
		{unreadable(policies), "a > a tcp/80", Options{}, "allowed self, allowed self"},
		{unreadable(policies), "1.2.3.4 > h tcp/80", Options{}, "allowed no-policy-here, allowed no-policy-here"},
		{unreadable(policies), "c > a tcp/80", Options{NotEnforced: true}, "allowed not-enforced, allowed not-enforced"},
		{unreadable(policies), "n1 > a tcp/80", Options{}, "allowed no-policy-here, unknown own-node"},
		{unreadable(policies), "a > 169.254.169.254 tcp/80", Options{BlockMetadata: true}, "denied metadata, allowed no-policy-here"},
		{unreadable(others), "c > a tcp/80", Options{}, normal},
		{unreadable(others), "c > a tcp/80", Options{Strict: true}, unclear},
		{unreadable(others), "a > a tcp/80", Options{Strict: true}, "allowed self, allowed self"},
		{unreadable(others), "1.2.3.4 > h tcp/80", Options{Strict: true}, "allowed no-policy-here, allowed no-policy-here"},
		{unreadable(others), "c > a tcp/80", Options{Strict: true, NotEnforced: true}, "allowed not-enforced, allowed not-enforced"},
		{unreadable(others), "c > a tcp/80 from 10.9.9.9", Options{Strict: true}, "denied spoofed, unknown isolated p"},
		{unreadable(objects), "c > a tcp/80", Options{}, normal},
		{unreadable(objects), "c > a tcp/80", Options{Strict: true}, normal},
		{unreadable(objects, others), "c > a tcp/80", Options{}, normal},
		{unreadable(objects, others), "c > a tcp/80", Options{Strict: true}, unclear},
		{unreadable(objects, others, policies), "c > a tcp/80", Options{}, unclear},
		{foreign("", true, true), "c > a tcp/80", Options{}, normal},
		{foreign("", true, true), "c > a tcp/80", Options{Strict: true}, unclear},
		{foreign("", true, true), "c > a tcp/80 from 10.9.9.9", Options{Strict: true}, "denied spoofed, unknown isolated p"},
		{foreign("", false, true), "c > a tcp/80", Options{Strict: true}, "unknown default, denied isolated p"},
		{foreign("blue", true, true), "c > a tcp/80", Options{Strict: true}, "allowed default, unknown isolated p"},
		{foreign("blue", false, true), "c > a tcp/80", Options{Strict: true}, normal},
		{foreign("grey", true, true), "c > a tcp/80", Options{Strict: true}, normal},
	} {
		s := base()
		add(t, s, "p: {}")
		c.change(s)
		a := Ask(s, c.o, question(t, s, c.ask))
		if got := short(a.Egress) + ", " + short(a.Ingress); got != c.want {
			t.Errorf("case %d, %s: %s, want %s", i, c.ask, got, c.want)
		}
	}
}

func TestParseCIDR(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.0.0/8": "10.0.0.0/8", "010.009.0.1/08": "10.0.0.0/8", "10.0.0.1/32": "10.0.0.1/32", "1.2.3.4/0": "0.0.0.0/0",
		"fd00::1/64": "fd00::/64", "::ffff:010.0.0.1/128": "::ffff:10.0.0.1/128", "00fd::/16": "fd::/16",
		"10.0.0.0": "", "10.0.0/8": "", "10.0.0.256/8": "", "10.0.0.0/33": "", "10.0.0.0/+8": "", "10.0.0.0/": "", "fe80::1%eth0/64": "",
		"/8": "", "": "", "::/129": "", "1.2.3.4.5/8": "", "x::/8": "",
	} {
		got, ok := ParseCIDR(text)
		if ok != (want != "") || ok && got.String() != want {
			t.Errorf("ParseCIDR(%q) = %v, %v; want %q", text, got, ok, want)
		}
	}
}
