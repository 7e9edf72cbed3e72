package lint

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// probeRules are about the questions that the kubelet asks the pods of its node.
var probeRules = []*Rule{
	{ID: "probe-cut", Severity: Error, Title: "the kubelet cannot reach the probes of pods", check: probeCut},
}

func probeCut(r *run) {
	var g gathered
	r.cutProbes(func(f *flow.Flow) {
		found, ok := r.onDenial(f, flow.Ingress, " cannot be probed by the kubelet",
			"The rule is not fully understood and so denies everything, the node included: the kubelet restarts what it finds dead, and no Service leads to what is not ready.",
			"Correct what the note about this policy names: a peer, a protocol, the action, the subject or the tier.")
		if ok {
			g.add(found, fmt.Sprintf("%s on tcp/%d", r.Model.Snapshot().Pods[f.To.Index].Owner, f.Port))
		}
	})
	g.flush(r)
}

// probed is a port that the kubelet asks at a workload's pods that no policy tells apart.
type probed struct {
	class int
	owner cluster.Workload
	port  uint16
}

// cutProbes visits a probe of each workload, class and port that is surely denied from the pod's own
// node. NetworkPolicies always let that node in (S22), and no peer of a cluster policy's ingress is a node
// (S44): what is left are rules that were not understood (S43).
func (r *run) cutProbes(visit func(*flow.Flow)) {
	cut := map[probed]bool{}
	blind := r.blindClasses()
	pods := r.Model.Snapshot().Pods
	for i := range pods {
		class := r.Model.ClassOf(i)
		if class < 0 || !blind[class] {
			continue
		}
		for _, port := range pods[i].Probed {
			key := probed{class, pods[i].Owner, port}
			if cut[key] {
				continue
			}
			if witness := r.probeDenied(i, port); witness != nil {
				cut[key] = true
				visit(witness)
			}
		}
	}
}

// blindClasses tells for each class whether some rule for its ingress was not understood.
func (r *run) blindClasses() []bool {
	out := make([]bool, len(r.Model.Classes()))
	for class := range out {
		s := r.Model.Classes()[class].Subject(flow.Ingress)
		out[class] = slices.ContainsFunc(s.Admin, hasPoison) || slices.ContainsFunc(s.Baseline, hasPoison)
	}
	return out
}

func hasPoison(p policy.Applied) bool {
	return slices.ContainsFunc(p.Rules(flow.Ingress), func(r policy.Rule) bool { return r.Poisoned })
}

// probeDenied gives a probe of a pod that is surely denied, from whatever address of its node; nil where one
// may pass.
func (r *run) probeDenied(pod int, port uint16) *flow.Flow {
	var witness *flow.Flow
	p := &r.Model.Snapshot().Pods[pod]
	for _, family := range r.probedFamilies(p) {
		f := flow.Flow{To: flow.End{Kind: flow.Pod, Index: pod, Addr: p.Addr(family)}, Family: family, Proto: netset.TCP, Port: port}
		for _, f.From = range r.kubelets(p, family) {
			if r.decided(&f, flow.Ingress) != flow.Denied {
				return nil
			}
			if witness == nil {
				first := f
				witness = &first
			}
		}
	}
	return witness
}

// probedFamilies gives the family of a pod's first address, which is the one that the kubelet asks; where
// none is known, every one that it may be.
func (r *run) probedFamilies(p *cluster.Pod) []flow.Family {
	if len(p.Addrs) > 0 {
		return []flow.Family{flow.FamilyOf(p.Addrs[0])}
	}
	return r.Model.Families()
}

// kubelets gives the ends from which a pod may be probed: its node with each address in a family. Where it is
// not known on which node it runs one stands for all: what is denied from there is denied by a rule that
// takes nodes for alike, as "is it its own node" is then unknown for each. Without any node there is no end.
func (r *run) kubelets(p *cluster.Pod, family flow.Family) []flow.End {
	nodes := r.Model.Snapshot().Nodes
	i := r.Model.Snapshot().NodeIndex(p.NodeName)
	switch {
	case p.NodeName == "" && len(nodes) > 0:
		i = 0
	case i < 0:
		return nil
	}
	var out []flow.End
	for _, a := range nodes[i].Addrs {
		if flow.FamilyOf(a) == family {
			out = append(out, flow.End{Kind: flow.Node, Index: i, Addr: a})
		}
	}
	if len(out) == 0 {
		out = append(out, flow.End{Kind: flow.Node, Index: i})
	}
	return out
}
