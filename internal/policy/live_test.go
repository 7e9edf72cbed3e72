package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// described says everything that a model says of a pod, in words that hang on no number.
func described(m *policy.Model, pod int) string {
	class := m.ClassOf(pod)
	if class < 0 {
		return "the node"
	}
	var w strings.Builder
	c := &m.Classes()[class]
	fmt.Fprintf(&w, "%s %v %v\n", c.Namespace, c.Labels, c.Ports)
	for _, d := range flow.Directions {
		s := c.Subject(d)
		for _, list := range [][]policy.Applied{s.Admin, s.Baseline} {
			for _, p := range list {
				fmt.Fprintf(&w, "%v %v %v %v\n", d, p.Ref, p.Maybe, m.Policies()[p.Number()] == p.Policy)
			}
		}
		for _, p := range s.Policies {
			fmt.Fprintf(&w, "%v %v %v %v\n", d, p.Ref, p.KeepsEstablished, m.Policies()[p.Number()] == p)
			for i := range p.Rules(d) {
				fmt.Fprintf(&w, "  %+v\n", p.Rules(d)[i].Ports)
			}
		}
		fmt.Fprintf(&w, "%v\n", c.Foreign(d))
	}
	for _, want := range []policy.Match{policy.Yes, policy.Maybe} {
		var sets []string
		for _, set := range m.SetsOf(class, want) {
			if used(m, set) {
				sets = append(sets, m.SetText(set))
			}
		}
		slices.Sort(sets)
		fmt.Fprintf(&w, "%v %q\n", want, sets)
	}
	return w.String()
}

// used tells whether a rule that is there names a set: a Live keeps those of rules that are gone.
func used(m *policy.Model, set int32) bool {
	for _, p := range m.Policies() {
		for _, d := range flow.Directions {
			for i := range p.Rules(d) {
				if slices.ContainsFunc(p.Rules(d)[i].Peers, func(peer policy.Peer) bool {
					return peer.Kind == policy.PodPeer && int32(peer.Set()) == set
				}) {
					return true
				}
			}
		}
	}
	return false
}

// TestLive: whichever pods and policies came and went before, a Live says what Compile says.
func TestLive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := world.UnevaluatedCases(1).Draw(rt, "from")
		from, to := a.World.Snapshot(), *a.World.Snapshot()
		other := world.Cases(1).Draw(rt, "to").World.Snapshot()
		to.Pods, to.NetworkPolicies = other.Pods, other.NetworkPolicies
		l := policy.NewLive(from, policy.Options{})
		for _, step := range rapid.Permutation(steps(from, &to)).Draw(rt, "steps") {
			step.do(l)
		}
		want, m := policy.Compile(&to, policy.Options{}), l.Model()
		if len(m.Policies()) != len(want.Policies()) {
			rt.Fatalf("%d policies and not %d", len(m.Policies()), len(want.Policies()))
		}
		for i := range to.Pods {
			at, ok := l.Pod(&to.Pods[i])
			if !ok {
				rt.Fatalf("pod %s is not there", &to.Pods[i])
			}
			if x, y := described(m, at), described(want, i); x != y {
				rt.Fatalf("%s is\n%s and not\n%s", &to.Pods[i], x, y)
			}
			if c := m.ClassOf(at); c >= 0 && !slices.Contains(m.Classes()[c].Members, at) {
				rt.Fatalf("%s is not among the members of its class", &to.Pods[i])
			}
		}
		members := 0
		for i := range m.Classes() {
			members += len(m.Classes()[i].Members)
		}
		for i := range want.Classes() {
			members -= len(want.Classes()[i].Members)
		}
		if members != 0 {
			rt.Fatalf("classes have %d members too many", members)
		}
	})
}

// step is one thing that happens. It is printed where a test fails.
type step struct {
	what string
	do   func(*policy.Live)
}

func (s step) String() string { return s.what }

// steps lead from one Snapshot's pods and policies to another's, in any order, with repetitions and detours.
func steps(from, to *cluster.Snapshot) []step {
	var out []step
	add := func(what string, do func(*policy.Live)) { out = append(out, step{what, do}) }
	gone := func(p *cluster.Pod) bool {
		return !slices.ContainsFunc(to.Pods, func(q cluster.Pod) bool {
			return q.String() == p.String() && q.Replica == p.Replica && q.Name == p.Name
		})
	}
	for i := range from.Pods {
		if p := &from.Pods[i]; gone(p) {
			add("remove "+p.String(), func(l *policy.Live) { l.RemovePod(p) })
		}
	}
	for i := range to.Pods {
		p := to.Pods[i]
		add("set "+p.String(), func(l *policy.Live) { l.SetPod(p) })
		other := p
		other.Labels = map[string]string{"passing": "by"}
		add("change and set back "+p.String(), func(l *policy.Live) { l.SetPod(other); l.SetPod(p) })
		host := p
		host.HostNetwork = !p.HostNetwork
		add("share the node's network and do not "+p.String(), func(l *policy.Live) { l.SetPod(host); l.SetPod(p) })
		elsewhere := p
		elsewhere.Namespace = "passing"
		add("come and go in another namespace "+p.String(), func(l *policy.Live) { l.SetPod(elsewhere); l.RemovePod(&elsewhere) })
	}
	for i := range from.NetworkPolicies {
		np := from.NetworkPolicies[i]
		if !slices.ContainsFunc(to.NetworkPolicies, func(q cluster.NetworkPolicy) bool {
			return q.Object.Namespace == np.Object.Namespace && q.Object.Name == np.Object.Name
		}) {
			add("remove "+np.Object.Name, func(l *policy.Live) { l.RemoveNetworkPolicy(np.Object.Namespace, np.Object.Name) })
		}
	}
	for i := range to.NetworkPolicies {
		np := to.NetworkPolicies[i]
		add("set "+np.Object.Name, func(l *policy.Live) { l.SetNetworkPolicy(np) })
		kept := np
		kept.Object = np.Object.DeepCopy()
		kept.Object.Annotations, kept.Object.Spec.PodSelector = map[string]string{cluster.EstablishedAnnotation: cluster.KeepEstablished}, metav1.LabelSelector{}
		add("change and set back "+np.Object.Name, func(l *policy.Live) { l.SetNetworkPolicy(kept); l.SetNetworkPolicy(np) })
		add("remove and set "+np.Object.Name, func(l *policy.Live) {
			l.RemoveNetworkPolicy(np.Object.Namespace, np.Object.Name)
			l.SetNetworkPolicy(np)
		})
	}
	return out
}

// BenchmarkLive is one event at 100,000 pods and 10,000 policies: another replica, the first pod of a workload, a policy.
func BenchmarkLive(b *testing.B) {
	s := bench.Spread(10_000, 100_000, 10_000)
	l := policy.NewLive(s, policy.Options{})
	for _, kind := range []string{"replica", "workload"} {
		b.Run(kind, func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				p := s.Pods[n%len(s.Pods)]
				p.Name = "another"
				if kind == "workload" {
					p.Labels = maps.Clone(p.Labels)
					p.Labels["pod-template-hash"] = fmt.Sprint(n)
				}
				l.SetPod(p)
				l.RemovePod(&p)
			}
		})
	}
	b.Run("policy", func(b *testing.B) {
		for n := 0; b.Loop(); n++ {
			l.SetNetworkPolicy(s.NetworkPolicies[n%len(s.NetworkPolicies)])
		}
	})
}
