package lint

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/platform"
	"sallyport.dev/sallyport/internal/policy"
)

// platformRules are about the version and the plugin that were named.
var platformRules = []*Rule{
	{ID: "not-enforced", Severity: Error, Title: "nothing enforces the policies", check: notEnforced},
	{ID: "version-lacks", Severity: Error, Title: "the given Kubernetes version does not understand a policy as written", check: versionLacks},
	{ID: "plugin-lacks", Severity: Warning, Title: "the given network plugin does not do what a policy says", check: pluginLacks},
}

func notEnforced(r *run) {
	e := r.Plugin.Enforcement(r.Version)
	if e.By == "nothing" && len(r.Model.Policies()) > 0 {
		r.add(Finding{Message: e.Text, Reason: "The API server stores the policies, and every connection is allowed all the same.",
			Fix: "Run a network plugin that enforces policies, and name it with --plugin."})
	}
}

func versionLacks(r *run) {
	for _, c := range r.Version.Changes(r.Written) {
		r.add(Finding{Object: Object{c.Policy.Kind, c.Policy.Namespace, c.Policy.Name}, Path: c.Path, Origin: c.Origin.At(c.Path),
			Message: "Kubernetes " + r.Version.String() + ": " + c.Lacks, Reason: capital(c.Then) + ".",
			Fix: "Write the policy without it, or run a version that understands it."})
	}
	r.eachRule(func(p *policy.Policy, d flow.Direction, rule *policy.Rule) {
		for i := range rule.Peers {
			if peer := &rule.Peers[i]; peer.Kind == policy.PodPeer {
				if ns := r.nameless(peer.Namespaces); ns != "" {
					r.add(onPolicy(p, peerPath(p, d, rule, i),
						fmt.Sprintf("Kubernetes %s does not set %s by itself, and namespace %s does not carry it", r.Version, cluster.MetadataNameLabel, ns),
						"The peer does not match pods there.", "Set the label by hand, or select another one."))
				}
			}
		}
	})
}

// nameless gives a namespace that a selector would match if the version set the name label, or "".
func (r *run) nameless(s policy.Selector) string {
	for _, q := range s {
		if q.Key != cluster.MetadataNameLabel {
			continue
		}
		for _, name := range q.Values {
			before, now := r.Written.NamespaceByName(name), r.Model.Snapshot().NamespaceByName(name)
			if before != nil && now != nil && !before.Assumed && s.Match(before.Labels, true) == policy.Yes && s.Match(now.Labels, true) == policy.No {
				return name
			}
		}
	}
	return ""
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func pluginLacks(r *run) {
	for _, note := range r.Plugin.Notes(r.Model.Snapshot()) {
		r.add(Finding{Message: note})
	}
	b := r.Model.Options().Behaviour
	if b.EndPort != policy.EndPortUnderstood {
		r.endPorts(b.EndPort)
	}
	if b.NamedPortsUnsettled || b.SCTPUnsettled {
		r.unsettledPorts(b)
	}
	if b.NoNamedPortsOnWindows {
		r.windowsPorts()
	}
	if b.BlocksMatchOutsideOnly {
		r.blocksOutsideOnly()
	}
}

// endPorts finds port ranges; they are looked for in the manifests, as the model has them as they act.
func (r *run) endPorts(e policy.EndPort) {
	snap := r.Model.Snapshot()
	for i := range snap.NetworkPolicies {
		np := &snap.NetworkPolicies[i]
		for _, at := range platform.EndPorts(np.Object) {
			message := fmt.Sprintf("%s does not understand endPort: only the first port of the range counts", r.Plugin)
			if e == policy.EndPortUnsettled {
				message = fmt.Sprintf("whether %s understands endPort hangs on its version: name it, as in --plugin %s@1.17", r.Plugin, r.Plugin.Name)
			}
			ref := Object{"NetworkPolicy", np.Object.Namespace, np.Object.Name}
			r.add(Finding{Object: ref, Path: at, Origin: np.Origin.At(at), Message: message,
				Reason: "The other ports of the range may stay closed.", Fix: "List the ports one by one."})
		}
	}
}

func (r *run) unsettledPorts(b policy.Behaviour) {
	r.eachRule(func(p *policy.Policy, d flow.Direction, rule *policy.Rule) {
		for i := range rule.Ports {
			port := &rule.Ports[i]
			at := portAt{p, d, rule, i, nil}
			switch {
			case b.NamedPortsUnsettled && port.Unsettled():
				r.add(at.finding(fmt.Sprintf("what %s makes of port %s is not settled: pods declare different numbers under that name", r.Plugin, port.Name),
					"It may match at some of them only.", "Write the numbers."))
			case b.SCTPUnsettled && port.Proto == netset.SCTP:
				r.add(at.finding(fmt.Sprintf("%s has SCTP only where it is turned on", r.Plugin), "Whether the rule matches hangs on that.", ""))
			}
		}
	})
}

func (r *run) windowsPorts() {
	r.eachPort(func(a *portAt) {
		if a.port().Name == "" {
			return
		}
		for _, class := range a.classes {
			if first := r.Model.Classes()[class].Members[0]; r.Model.Snapshot().Pods[first].Windows {
				r.add(a.finding(fmt.Sprintf("%s knows no named ports on Windows, where %s runs", r.Plugin, r.owner(class)),
					"There the name matches nothing.", "Write the number."))
				return
			}
		}
	})
}

// blocksOutsideOnly finds blocks that look as if pods or nodes were meant.
func (r *run) blocksOutsideOnly() {
	pods, nodes := r.addresses()
	r.blocks(func(a *blockAt) {
		if a.block.CIDR.Bits() == 0 {
			return
		}
		in := slices.Concat(inBlock(pods, a.block), inBlock(nodes, a.block))
		what := "holds " + holders(in)
		if len(in) == 0 {
			what = r.podRanges(a.block)
		}
		if what != "" {
			r.add(a.finding(fmt.Sprintf("%s matches no pod and no node by address, and %s %s", r.Plugin, a.block, what),
				"For these the rule does nothing.", "Select pods by labels."))
		}
	})
}
