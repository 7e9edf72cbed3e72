package platform

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/policy"
)

func TestParsePlugin(t *testing.T) {
	for text, want := range map[string]Plugin{
		"calico":                {Name: "calico"},
		"Calico":                {Name: "calico"},
		"cilium@1.16":           {"cilium", PluginVersion{1, 16}},
		"cilium@v1.17.2":        {"cilium", PluginVersion{1, 17}},
		"cilium@1.18.0-rc.1":    {"cilium", PluginVersion{1, 18}},
		"azure":                 {Name: "azure-npm"},
		"npm":                   {Name: "azure-npm"},
		"azure-npm":             {Name: "azure-npm"},
		"none":                  {Name: "none"},
		"sallyport":             {Name: "sallyport"},
		"flannel":               {Name: "flannel"},
		"antrea@2.1":            {"antrea", PluginVersion{2, 1}},
		"kube-router":           {Name: "kube-router"},
		"some.plugin-2":         {Name: "some.plugin-2"},
		strings.Repeat("a", 63): {Name: strings.Repeat("a", 63)},
	} {
		got, err := ParsePlugin(text)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestParsePluginErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                      "is not a plugin's name",
		"@1.16":                 "is not a plugin's name",
		"cilium 1.16":           "is not a plugin's name",
		"cil_ium":               "is not a plugin's name",
		"calico\x1b[31m":        "is not a plugin's name",
		strings.Repeat("a", 64): "is not a plugin's name",
		"cilium@":               "not like 1.16",
		"cilium@1":              "not like 1.16",
		"cilium@latest":         "not like 1.16",
		"cilium@-1.16":          "not like 1.16",
		"cilium@1.-16":          "not like 1.16",
		"cilium@+1.16":          "not like 1.16",
		"cilium@1.16 x":         "not like 1.16",
		"cilium@1.16x":          "not like 1.16",
		"cilium@1.1616":         "not like 1.16",
		"cilium@0.0":            "not like 1.16",
		"cilium@1.16@1.17":      "not like 1.16",
		"cilium@1.16.\x1b[31m":  "not like 1.16",
	} {
		if got, err := ParsePlugin(text); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// FuzzParsePlugin: no panic, and what is read is spelled as something that is read as the same.
func FuzzParsePlugin(f *testing.F) {
	for _, s := range []string{"calico", "cilium@1.16", "azure", "none", "x@v1.2.3-rc.1", "@", "a@@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePlugin(s)
		if err != nil {
			return
		}
		again, err := ParsePlugin(p.Spelling())
		if err != nil || again != p {
			t.Errorf("%q is spelled %q, which is read as %+v, %v", s, p.Spelling(), again, err)
		}
		p.Behaviour()
		if p.Enforcement(Version{}).Text == "" {
			t.Errorf("%q: nobody says who enforces", s)
		}
	})
}

func TestBehaviour(t *testing.T) {
	for text, want := range map[string]policy.Behaviour{
		"sallyport": {},
		"antrea":    {}, // no profile: the rules as written
		"none":      {NotEnforced: true},
		"flannel":   {NotEnforced: true},
		"kubenet":   {NotEnforced: true},
		"calico":    {EgressToOwnNodeByPolicy: true},
		"azure-npm": {NotEnforcedIPv6: true, NoNamedPortsOnWindows: true},
		"cilium":    ciliumWith(policy.EndPortUnsettled),
		// endPort is understood since 1.17.
		"cilium@0.99": ciliumWith(policy.EndPortIgnored),
		"cilium@1.16": ciliumWith(policy.EndPortIgnored),
		"cilium@1.17": ciliumWith(policy.EndPortUnderstood),
		"cilium@1.18": ciliumWith(policy.EndPortUnderstood),
		"cilium@2.0":  ciliumWith(policy.EndPortUnderstood),
	} {
		p, err := ParsePlugin(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Behaviour(); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	if b := (Plugin{}).Behaviour(); b != (policy.Behaviour{}) {
		t.Errorf("no plugin given: %+v, want the rules as written", b)
	}
}

func ciliumWith(e policy.EndPort) policy.Behaviour {
	return policy.Behaviour{BlocksMatchOutsideOnly: true, EgressToOwnNodeByPolicy: true, NamedPortsUnsettled: true, SCTPUnsettled: true, EndPort: e}
}

func TestNodePortUnfiltered(t *testing.T) {
	for name := range profiles {
		if got := (Plugin{Name: name}).NodePortUnfiltered(); got != (name == "azure-npm") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if (Plugin{}).NodePortUnfiltered() || (Plugin{Name: "antrea"}).NodePortUnfiltered() {
		t.Error("without a profile the rules hold")
	}
}

func TestEnforcement(t *testing.T) {
	for _, c := range []struct {
		plugin, version, by, text string
	}{
		{"", "", "", ""},
		{"", "1.31", "", "enforced on Kubernetes 1.31 only if its network plugin enforces policies; say which with --plugin"},
		{"calico", "", "calico", "enforced by calico"},
		{"cilium@1.16", "1.31", "cilium", "enforced by cilium 1.16 on Kubernetes 1.31"},
		{"azure", "1.29", "azure-npm", "enforced by azure-npm on Kubernetes 1.29"},
		{"none", "", "nothing", "nothing enforces this: no network plugin enforces policies"},
		{"none", "1.31", "nothing", "nothing enforces this on Kubernetes 1.31: no network plugin enforces policies"},
		{"flannel", "", "nothing", "nothing enforces this: flannel only routes"},
		{"antrea@2.1", "1.31", "antrea", "enforced by antrea on Kubernetes 1.31; behaviour of antrea not verified, the rules as written are assumed"},
	} {
		var p Plugin
		var v Version
		var err error
		if c.plugin != "" {
			if p, err = ParsePlugin(c.plugin); err != nil {
				t.Fatal(err)
			}
		}
		if c.version != "" {
			if v, err = ParseVersion(c.version); err != nil {
				t.Fatal(err)
			}
		}
		if got := p.Enforcement(v); got != (Enforcement{Text: c.text, By: c.by}) {
			t.Errorf("%s on %s: %+v", c.plugin, c.version, got)
		}
		if nothing := p.Behaviour().NotEnforced; nothing != (c.by == "nothing") {
			t.Errorf("%s: enforced by %q and NotEnforced %v contradict each other", c.plugin, c.by, nothing)
		}
	}
}

func TestPluginNotes(t *testing.T) {
	cnp := []cluster.ClusterPolicy{{Kind: "ClusterNetworkPolicy"}}
	v6 := []cluster.Pod{{Addrs: []netip.Addr{netip.MustParseAddr("10.244.0.5"), netip.MustParseAddr("2001:db8::5")}}}
	v4 := []cluster.Pod{{Addrs: []netip.Addr{netip.MustParseAddr("10.244.0.5")}}}
	for _, c := range []struct {
		name, plugin string
		snap         cluster.Snapshot
		want         []string
	}{
		{"cluster policies", "calico", cluster.Snapshot{ClusterPolicies: cnp}, []string{"whether calico enforces ClusterNetworkPolicy is not verified"}},
		{"cluster policies, ours", "sallyport", cluster.Snapshot{ClusterPolicies: cnp}, nil},
		{"cluster policies, nobody's", "none", cluster.Snapshot{ClusterPolicies: cnp}, nil},
		{"cluster policies, no profile", "antrea", cluster.Snapshot{ClusterPolicies: cnp}, nil},
		{"no cluster policies", "calico", cluster.Snapshot{}, nil},
		{"250 nodes", "azure-npm", cluster.Snapshot{Nodes: make([]cluster.Node, 250)}, nil},
		{"251 nodes", "azure-npm", cluster.Snapshot{Nodes: make([]cluster.Node, 251)}, []string{"larger than azure-npm supports"}},
		{"251 nodes elsewhere", "calico", cluster.Snapshot{Nodes: make([]cluster.Node, 251)}, nil},
		{"20000 pods", "azure-npm", cluster.Snapshot{Pods: make([]cluster.Pod, 20000)}, nil},
		{"20001 pods", "azure-npm", cluster.Snapshot{Pods: make([]cluster.Pod, 20001)}, []string{"larger than azure-npm supports"}},
		{"Windows nodes", "azure-npm", cluster.Snapshot{Nodes: []cluster.Node{{Windows: true}, {Windows: true}}}, []string{"on Windows nodes"}},
		{"Windows nodes elsewhere", "calico", cluster.Snapshot{Nodes: []cluster.Node{{Windows: true}}}, nil},
		{"IPv6 pods", "azure-npm", cluster.Snapshot{Pods: v6}, []string{"nothing over IPv6"}},
		{"IPv6 range", "azure-npm", cluster.Snapshot{Facts: cluster.Facts{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00::/64")}}}, []string{"nothing over IPv6"}},
		{"IPv6 nodes", "azure-npm", cluster.Snapshot{Nodes: []cluster.Node{{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("fd00::/64")}}}}, []string{"nothing over IPv6"}},
		{"IPv4 pods", "azure-npm", cluster.Snapshot{Pods: v4}, nil},
		{"IPv6 pods elsewhere", "cilium", cluster.Snapshot{Pods: v6}, nil},
	} {
		got := Plugin{Name: c.plugin}.Notes(&c.snap)
		if !slices.EqualFunc(got, c.want, strings.Contains) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
