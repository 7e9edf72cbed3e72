package platform

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/policy"
)

// Plugin is a network plugin, by the name people know, with its version if given. The zero value
// means "not given".
type Plugin struct {
	Name    string
	Version PluginVersion
}

// PluginVersion is a plugin's major and minor version; the zero value means "not given".
type PluginVersion struct{ Major, Minor int }

// Enforcement is who enforces a verdict.
type Enforcement struct {
	// Text is a sentence for people; empty where neither version nor plugin is known.
	Text string
	// By is the plugin's name, "nothing", or empty if not known.
	By string
}

// profile is what is known of a plugin: docs/plugins.md has the sources.
type profile struct {
	enforces  bool
	behaviour policy.Behaviour
	// nodePortUnfiltered: NodePort traffic under externalTrafficPolicy Cluster is not subject to policy.
	nodePortUnfiltered bool
}

var profiles = map[string]profile{
	"sallyport": {enforces: true},
	"none":      {behaviour: policy.Behaviour{NotEnforced: true}},
	"calico":    {enforces: true, behaviour: policy.Behaviour{EgressToOwnNodeByPolicy: true}},
	"cilium": {enforces: true, behaviour: policy.Behaviour{
		BlocksMatchOutsideOnly: true, EgressToOwnNodeByPolicy: true, NamedPortsUnsettled: true, SCTPUnsettled: true}},
	"azure-npm": {enforces: true, nodePortUnfiltered: true, behaviour: policy.Behaviour{NotEnforcedIPv6: true, NoNamedPortsOnWindows: true}},
}

// routing lists plugins that only route (S26).
var routing = []string{"flannel", "kubenet", "bridge", "ptp"}

var aliases = map[string]string{"azure": "azure-npm", "npm": "azure-npm"}

// maxPluginName is longer than any plugin's name.
const maxPluginName = 63

// ParsePlugin reads "calico" or "cilium@1.16". Any name is accepted; one without a profile is
// answered by the rules as written, and says so.
func ParsePlugin(s string) (Plugin, error) {
	name, version, versioned := strings.Cut(strings.ToLower(s), "@")
	if name == "" || len(name) > maxPluginName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return Plugin{}, fmt.Errorf("%s is not a plugin's name: %s, or another plugin's name", quoted(s), profileNames())
	}
	if a, ok := aliases[name]; ok {
		name = a
	}
	p := Plugin{Name: name}
	if !versioned {
		return p, nil
	}
	major, minor, ok := parseMajorMinor(version)
	if !ok || major == 0 && minor == 0 {
		return Plugin{}, fmt.Errorf("%s: the plugin's version is not like 1.16", quoted(s))
	}
	p.Version = PluginVersion{major, minor}
	return p, nil
}

// Profiles lists the plugins whose behaviour is known.
func Profiles() []string { return slices.Sorted(maps.Keys(profiles)) }

func profileNames() string { return strings.Join(Profiles(), ", ") }

func (p Plugin) profile() (profile, bool) {
	if slices.Contains(routing, p.Name) {
		return profiles["none"], true
	}
	pr, ok := profiles[p.Name]
	return pr, ok
}

// Behaviour gives where the plugin deviates from the rules.
func (p Plugin) Behaviour() policy.Behaviour {
	pr, _ := p.profile()
	b := pr.behaviour
	if p.Name == "cilium" {
		b.EndPort = p.ciliumEndPort()
	}
	return b
}

// ciliumEndPort: port ranges are understood since Cilium 1.17.
func (p Plugin) ciliumEndPort() policy.EndPort {
	switch v := p.Version; {
	case v == (PluginVersion{}):
		return policy.EndPortUnsettled
	case v.Major < 1 || v.Major == 1 && v.Minor < 17:
		return policy.EndPortIgnored
	}
	return policy.EndPortUnderstood
}

// NodePortUnfiltered tells whether traffic to a NodePort or LoadBalancer Service with
// externalTrafficPolicy Cluster is not subject to policy.
func (p Plugin) NodePortUnfiltered() bool {
	pr, _ := p.profile()
	return pr.nodePortUnfiltered
}

// Enforcement says who enforces policies on a cluster of that version with that plugin (S26).
func (p Plugin) Enforcement(v Version) Enforcement {
	on := ""
	if v != (Version{}) {
		on = " on Kubernetes " + v.String()
	}
	pr, known := p.profile()
	switch {
	case p.Name == "" && on == "":
		return Enforcement{}
	case p.Name == "":
		return Enforcement{Text: "enforced" + on + " only if its network plugin enforces policies; say which with --plugin"}
	case known && !pr.enforces && p.Name == "none":
		return Enforcement{By: "nothing", Text: "nothing enforces this" + on + ": no network plugin enforces policies"}
	case known && !pr.enforces:
		return Enforcement{By: "nothing", Text: "nothing enforces this" + on + ": " + p.Name + " only routes"}
	case !known:
		return Enforcement{By: p.Name, Text: "enforced by " + p.Name + on + "; behaviour of " + p.Name + " not verified, the rules as written are assumed"}
	}
	return Enforcement{By: p.Name, Text: "enforced by " + p.String() + on}
}

// String gives the name, with the version if it was given.
func (p Plugin) String() string {
	if p.Version == (PluginVersion{}) {
		return p.Name
	}
	return fmt.Sprintf("%s %d.%d", p.Name, p.Version.Major, p.Version.Minor)
}

// Spelling gives the plugin as ParsePlugin reads it.
func (p Plugin) Spelling() string {
	if p.Version == (PluginVersion{}) {
		return p.Name
	}
	return fmt.Sprintf("%s@%d.%d", p.Name, p.Version.Major, p.Version.Minor)
}

// Notes gives what people should know of the plugin with this input.
func (p Plugin) Notes(s *cluster.Snapshot) []string {
	pr, known := p.profile()
	var out []string
	if known && len(s.ClusterPolicies) > 0 && p.Name != "sallyport" && pr.enforces {
		out = append(out, fmt.Sprintf("whether %s enforces ClusterNetworkPolicy is not verified", p.Name))
	}
	if p.Name == "azure-npm" {
		if knowsIPv6(s) {
			out = append(out, "azure-npm enforces nothing over IPv6")
		}
		if len(s.Nodes) > 250 || len(s.Pods) > 20000 {
			out = append(out, "this cluster is larger than azure-npm supports")
		}
		for i := range s.Nodes {
			if s.Nodes[i].Windows {
				out = append(out, "azure-npm on Windows nodes knows no SCTP, no except, no named ports and no negative selectors")
				break
			}
		}
	}
	return out
}

// knowsIPv6 tells whether pods are known to have IPv6 addresses.
func knowsIPv6(s *cluster.Snapshot) bool {
	is6 := func(p netip.Prefix) bool { return p.Addr().Is6() }
	return slices.ContainsFunc(s.Facts.PodCIDRs, is6) ||
		slices.ContainsFunc(s.Nodes, func(n cluster.Node) bool { return slices.ContainsFunc(n.PodCIDRs, is6) }) ||
		slices.ContainsFunc(s.Pods, func(p cluster.Pod) bool { return slices.ContainsFunc(p.Addrs, netip.Addr.Is6) })
}
