package analyze_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// compared gives the diff of two snapshots, with every piece of the outside.
func compared(was, is *cluster.Snapshot, o policy.Options) *analyze.Diff {
	a, b := policy.Compile(was, o), policy.Compile(is, o)
	space := a.Space().Join(b.Space())
	var outside []policy.Region
	for _, w := range space.Whole() {
		outside = append(outside, space.Regions(w)...)
	}
	ao := analyze.Options{Outside: outside}
	return analyze.NewDiff(analyze.New(a, space, ao), analyze.New(b, space, ao))
}

// edit changes one thing or a few in a copy of a world. Only policies are touched where onlyPolicies is set.
func edit(rt *rapid.T, w world.World, onlyPolicies bool) world.World {
	w = world.Shuffle(w, rapid.Uint64().Draw(rt, "shuffle"))
	kinds := []string{"drop policy", "drop cluster policy", "add rule", "remove rule", "other policies", "add policies"}
	if !onlyPolicies {
		kinds = append(kinds, "pod labels", "namespace labels", "drop pod", "add pod", "deployment labels", "drop namespace", "host network", "node")
	}
	for i := range rapid.IntRange(1, 3).Draw(rt, "edits") {
		editOne(rt, &w, rapid.SampledFrom(kinds).Draw(rt, "edit"), fmt.Sprintf("-new%d", i))
	}
	return w
}

func editOne(rt *rapid.T, w *world.World, kind, suffix string) {
	index := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "which") }
	labels := map[string]string{"app": rapid.SampledFrom([]string{"x", "z"}).Draw(rt, "app")}
	switch {
	case kind == "drop policy" && len(w.NetworkPolicies) > 0:
		i := index(len(w.NetworkPolicies))
		w.NetworkPolicies = slices.Delete(w.NetworkPolicies, i, i+1)
	case kind == "drop cluster policy" && len(w.ClusterPolicies) > 0:
		i := index(len(w.ClusterPolicies))
		w.ClusterPolicies = slices.Delete(w.ClusterPolicies, i, i+1)
	case kind == "add rule":
		*w, _ = world.AddRule(rt, *w)
	case kind == "remove rule":
		*w, _ = world.RemoveRule(rt, *w)
	case kind == "other policies":
		o := world.Draw(rt)
		w.NetworkPolicies, w.ClusterPolicies = o.NetworkPolicies, o.ClusterPolicies
	case kind == "add policies":
		for _, p := range world.Draw(rt).NetworkPolicies {
			p.Object.Name += suffix
			w.NetworkPolicies = append(w.NetworkPolicies, p)
		}
	case kind == "pod labels" && len(w.Pods) > 0:
		w.Pods[index(len(w.Pods))].Labels = labels
	case kind == "namespace labels" && len(w.Namespaces) > 0:
		w.Namespaces[index(len(w.Namespaces))].Labels = labels
	case kind == "drop namespace" && len(w.Namespaces) > 0:
		i := index(len(w.Namespaces))
		w.Namespaces = slices.Delete(w.Namespaces, i, i+1)
	case kind == "drop pod" && len(w.Pods) > 0:
		i := index(len(w.Pods))
		w.Pods = slices.Delete(w.Pods, i, i+1)
	case kind == "add pod":
		for _, p := range world.Draw(rt).Pods {
			p.Name += suffix
			p.Status.PodIPs, p.Status.PodIP = nil, ""
			w.Pods = append(w.Pods, p)
		}
	case kind == "deployment labels" && len(w.Deployments) > 0:
		w.Deployments[index(len(w.Deployments))].Spec.Template.Labels = labels
	case kind == "host network" && len(w.Pods) > 0:
		w.Pods[index(len(w.Pods))].Spec.HostNetwork = rapid.Bool().Draw(rt, "host network")
	case kind == "node" && len(w.Pods) > 0:
		w.Pods[index(len(w.Pods))].Spec.NodeName = "n2"
	}
}

// verdicts is what one side says of a pair, in words.
type verdicts map[string]netset.PortSet

func rowOf(r *analyze.Reach, from, to string) verdicts {
	at := func(name string) int {
		return slices.IndexFunc(r.Parties, func(p analyze.Party) bool { return p.Name == name })
	}
	a, b := at(from), at(to)
	if a < 0 || b < 0 {
		return verdicts{analyze.Absent: netset.EveryPort()}
	}
	row, ok := r.Between(a, b)
	if !ok {
		return verdicts{analyze.Absent: netset.EveryPort()}
	}
	open := row.Allowed.Union(row.Partial).Union(row.Ambiguous).Union(row.Unknown)
	return verdicts{"allowed": row.Allowed, "partial": row.Partial, "ambiguous": row.Ambiguous, "unknown": row.Unknown,
		"denied": netset.EveryPort().Minus(open)}
}

func (v verdicts) open() verdicts {
	out := verdicts{}
	for word, ports := range v {
		if word != "denied" && word != analyze.Absent && !ports.Empty() {
			out[word] = ports
		}
	}
	return out
}

func (v verdicts) equal(o verdicts) bool {
	for _, w := range []string{"allowed", "partial", "ambiguous", "unknown"} {
		if !v[w].Equal(o[w]) {
			return false
		}
	}
	return true
}

// TestDiffLaw: the changes applied to what was reachable give what is reachable, and each is shown by a
// pair of ends that is decided differently.
func TestDiffLaw(t *testing.T) {
	seen := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 4*time.Second, 8)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.Cases(0).Draw(rt, "case")
			w := edit(rt, c.World, false)
			o := policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata, Azure: c.Options.Azure}
			was, is := c.World.Snapshot(), w.Snapshot()
			d := compared(was, is, o)
			rows := map[[2]int]verdicts{}
			for from := range d.Parties {
				for to := range d.Parties {
					rows[[2]int{from, to}] = rowOf(d.Reach(false), d.Parties[from].Name, d.Parties[to].Name)
				}
			}
			listed := map[[2]int]netset.PortSet{}
			d.Each(func(ch *analyze.Change) bool {
				seen[ch.Before+" → "+ch.After]++
				pair := [2]int{ch.From, ch.To}
				listed[pair] = listed[pair].Union(ch.Ports)
				apply(rt, d, rows, ch)
				witnessed(rt, d, ch)
				return true
			})
			if rapid.IntRange(0, 3).Draw(rt, "pod by pod") == 0 {
				seen["pod by pod"] += podByPod(rt, d, listed)
			}
			for pair, got := range rows {
				from, to := d.Parties[pair[0]], d.Parties[pair[1]]
				if from.External && to.External {
					continue
				}
				if want := rowOf(d.Reach(true), from.Name, to.Name); !got.open().equal(want.open()) {
					rt.Fatalf("%s → %s: applied %v, and it is %v", from.Name, to.Name, got, want)
				}
			}
		})
	}
	t.Logf("%v", seen)
	for _, kind := range []string{"allowed → denied", "denied → allowed", "absent → allowed", "allowed → absent", "allowed → partial", "partial → allowed", "partial → partial", "unknown → allowed", "denied → unknown", "pod by pod"} {
		if seen[kind] == 0 {
			t.Errorf("no change %s was seen", kind)
		}
	}
}

// podByPod compares every pair of pods that both sides have: a verdict that changed is among the changes.
func podByPod(rt *rapid.T, d *analyze.Diff, listed map[[2]int]netset.PortSet) int {
	was, is := d.Reach(false), d.Reach(true)
	twin := func(e flow.End) (flow.End, bool) {
		if e.Kind != flow.Pod {
			return e, true
		}
		p := was.Model().Snapshot().Pods[e.Index]
		pods := is.Model().Snapshot().Pods
		e.Index = slices.IndexFunc(pods, func(o cluster.Pod) bool { return o.Owner == p.Owner && o.Name == p.Name && o.Replica == p.Replica })
		return e, e.Index >= 0 && slices.Equal(pods[e.Index].Addrs, p.Addrs) && pods[e.Index].HostNetwork == p.HostNetwork && pods[e.Index].NodeName == p.NodeName
	}
	index := map[string]int{}
	for i := range d.Parties {
		index[d.Parties[i].Name] = i
	}
	compared := 0
	for from := range was.Parties {
		for to := range was.Parties {
			if was.Parties[from].External && was.Parties[to].External {
				continue
			}
			changed := listed[[2]int{index[was.Parties[from].Name], index[was.Parties[to].Name]}]
			for _, f := range was.Flows(from, to) {
				g := f
				var ok, ok2 bool
				g.From, ok = twin(f.From)
				g.To, ok2 = twin(f.To)
				if !ok || !ok2 || !slices.Contains(is.Model().Families(), f.Family) {
					continue
				}
				for _, proto := range netset.Protos {
					for _, port := range somePorts {
						if f.Proto, g.Proto = proto, proto; proto != netset.Other {
							f.Port, g.Port = port, port
						}
						compared++
						a, b := eval.Verdict(was.Model(), &f), eval.Verdict(is.Model(), &g)
						if a != b && !changed.Contains(proto, port) {
							rt.Fatalf("%s → %s %v/%d: a pair of pods was %v and is %v, and no change says so", was.Parties[from].Name, was.Parties[to].Name, proto, port, a, b)
						}
					}
				}
			}
		}
	}
	return compared
}

// apply moves ports from one verdict to another; they must have had the first.
func apply(rt *rapid.T, d *analyze.Diff, rows map[[2]int]verdicts, c *analyze.Change) {
	v := rows[[2]int{c.From, c.To}]
	name := fmt.Sprintf("%s → %s %v: %s → %s", d.Parties[c.From].Name, d.Parties[c.To].Name, c.Ports, c.Before, c.After)
	if !c.Ports.Minus(v[c.Before]).Empty() {
		rt.Fatalf("%s, but it was %v", name, v)
	}
	v[c.Before] = v[c.Before].Minus(c.Ports)
	v[c.After] = v[c.After].Union(c.Ports)
}

func witnessed(rt *rapid.T, d *analyze.Diff, c *analyze.Change) {
	why := d.Why(c)
	name := fmt.Sprintf("%s → %s %v: %s → %s", d.Parties[c.From].Name, d.Parties[c.To].Name, c.Ports, c.Before, c.After)
	if (why.Before == nil) != (c.Before == analyze.Absent) && (why.After == nil) != (c.After == analyze.Absent) || why.Before == nil && why.After == nil {
		rt.Fatalf("%s is not shown on the sides that have it", name)
	}
	if why.Before == nil || why.After == nil {
		return
	}
	was, is := eval.Verdict(d.Reach(false).Model(), why.Before), eval.Verdict(d.Reach(true).Model(), why.After)
	if was == is || len(why.Sides) == 0 {
		rt.Fatalf("%s is shown by a flow that was %v and is %v, in %d directions", name, was, is, len(why.Sides))
	}
	for _, s := range why.Sides {
		if len(s.Causes)+len(s.Ends) == 0 {
			rt.Fatalf("%s: nothing caused that %v was %v and is %v", name, s.Direction, s.Before, s.After)
		}
	}
}

// TestCausesLaw: where only policies changed, the policies named as causes explain the whole change of a
// direction: changing them alone, and leaving every other as it was, gives the same verdict.
func TestCausesLaw(t *testing.T) {
	explained := 0
	for end := time.Now().Add(world.Soak(t, 3*time.Second, 8)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.Cases(0).Draw(rt, "case")
			o := policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs}
			was, is := c.World.Snapshot(), edit(rt, c.World, true).Snapshot()
			if len(was.Namespaces) != len(is.Namespaces) {
				return // a policy made a namespace known
			}
			d := compared(was, is, o)
			d.Each(func(ch *analyze.Change) bool {
				why := d.Why(ch)
				for _, s := range why.Sides {
					explained++
					if len(s.Ends) > 0 {
						rt.Fatalf("only policies changed, and the ends are blamed: %v", s.Ends)
					}
					m := policy.Compile(hybrid(was, is, s.Causes), o)
					if got := eval.Side(m, why.Before, s.Direction); got != s.After {
						rt.Fatalf("%s → %s %v %v was %v, is %v, and is %v with only %v changed", d.Parties[ch.From].Name, d.Parties[ch.To].Name,
							ch.Ports, s.Direction, s.Before, s.After, got, s.Causes)
					}
				}
				return true
			})
		})
	}
	t.Logf("%d changes explained", explained)
	if explained == 0 {
		t.Error("nothing was explained")
	}
}

// hybrid is a snapshot with the named policies as they are in another.
func hybrid(was, is *cluster.Snapshot, causes []analyze.Cause) *cluster.Snapshot {
	out := *was
	named := func(ref cluster.PolicyRef) bool {
		return slices.ContainsFunc(causes, func(c analyze.Cause) bool { return c.Policy == ref })
	}
	out.NetworkPolicies, out.ClusterPolicies = nil, nil
	for i, s := range []*cluster.Snapshot{was, is} {
		for _, p := range s.NetworkPolicies {
			if named(cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: p.Object.Namespace, Name: p.Object.Name}) == (i == 1) {
				out.NetworkPolicies = append(out.NetworkPolicies, p)
			}
		}
		for _, p := range s.ClusterPolicies {
			if named(cluster.PolicyRef{Kind: p.Kind, Name: p.Object.Name}) == (i == 1) {
				out.ClusterPolicies = append(out.ClusterPolicies, p)
			}
		}
	}
	return &out
}

// BenchmarkDiff compares a cluster with itself after one policy was removed; the analyses are made outside.
func BenchmarkDiff(b *testing.B) {
	for _, n := range []struct {
		kind                      string
		workloads, pods, policies int
	}{{"spread", 100, 1_000, 100}, {"spread", 2_000, 10_000, 2_000}, {"uniform", 10_000, 100_000, 10_000}} {
		b.Run(fmt.Sprintf("%s/pods=%d/policies=%d", n.kind, n.pods, n.policies), func(b *testing.B) {
			was := bench.Spread(n.workloads, n.pods, n.policies)
			if n.kind == "uniform" {
				was = bench.Uniform(n.workloads, n.pods, n.policies)
			}
			is := *was
			is.NetworkPolicies = is.NetworkPolicies[1:]
			d := compared(was, &is, policy.Options{})
			b.ReportAllocs()
			for b.Loop() {
				changes := 0
				d.Each(func(c *analyze.Change) bool {
					changes++
					d.Why(c)
					return true
				})
				b.ReportMetric(float64(changes), "changes")
			}
		})
	}
}

// BenchmarkDiffClosing adds a default deny to every namespace of an open cluster, so that every pair of workloads
// closes; the first 200,000 changes are explained.
func BenchmarkDiffClosing(b *testing.B) {
	const changes = 200_000
	was := bench.Spread(2_000, 10_000, 0)
	is := *was
	for i := range was.Namespaces {
		is.NetworkPolicies = append(is.NetworkPolicies, cluster.NetworkPolicy{Object: &networkingv1.NetworkPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: was.Namespaces[i].Name, Name: "deny"},
			Spec:       networkingv1.NetworkPolicySpec{PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}}}})
	}
	d := compared(was, &is, policy.Options{})
	for b.Loop() {
		n := 0
		d.Each(func(c *analyze.Change) bool {
			n++
			d.Why(c)
			return n < changes
		})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*changes), "ns/change")
}
