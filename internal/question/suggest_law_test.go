package question

import (
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"pgregory.net/rapid"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// TestSuggestionLaw adds what is suggested to random worlds and asks every flow before and after:
// nothing is opened that is not said, nothing is closed, and what is said to be allowed is.
func TestSuggestionLaw(t *testing.T) {
	seen := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 3*time.Second, 4)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			r, c := drawn(rt)
			from, to := drawTerm(rt, r, "from"), drawTerm(rt, r, "to")
			switch port := rapid.SampledFrom([]uint16{80, 8080, 53, 0, 1}).Draw(rt, "port"); port {
			case 0: // any port
			case 1:
				to.Port = PortTerm{Given: true, Range: netset.AllPorts, Proto: netset.Other}
			default:
				to.Port = PortTerm{Given: true, Range: netset.PortRange{First: port, Last: port + 1}}
			}
			a, err := r.Ask(from, to)
			if err != nil {
				return
			}
			s, err := r.Suggest(a)
			if err != nil {
				rt.Fatal(err)
			}
			if s == nil || len(s.Objects) == 0 {
				return
			}
			seen[s.Verdict]++
			after := withObjects(r.Model, s)
			if len(a.Parts) == 1 && single(&a.src) && single(&a.dst) && after.plain && s.Verdict != "allowed" {
				rt.Fatalf("%s %s: a suggestion of one NetworkPolicy a side makes it %s\n%#v", from.Text, to.Text, s.Verdict, c)
			}
			if wrong := unsaid(r, after.Model, a, s, seen); wrong != "" {
				rt.Fatalf("%s %s %v: %s; said %d: %v %v\n%#v", from.Text, to.Text, to.Port, wrong, s.Count, s.Opens, s.Why, c)
			}
		})
	}
	t.Logf("seen: %v", seen)
	if seen["allowed"] == 0 || seen["opened"] == 0 {
		t.Errorf("too little was suggested: %v", seen)
	}
}

// single tells whether an end is one pod, or one piece of the address space outside.
func single(e *End) bool { return len(e.Pods)+len(e.Regions) == 1 && len(e.Nodes) == 0 }

type afterwards struct {
	*policy.Model
	plain bool // one NetworkPolicy for each denied direction of pods that are known by address
}

func withObjects(m *policy.Model, s *Suggestion) afterwards {
	snap := *m.Snapshot()
	out := afterwards{plain: len(snap.ClusterPolicies) == 0 && !m.Options().Strict && !m.Options().BlockMetadata}
	for _, o := range s.Objects {
		switch o := o.(type) {
		case *networkingv1.NetworkPolicy:
			snap.NetworkPolicies = append(slices.Clone(snap.NetworkPolicies), cluster.NetworkPolicy{Object: o})
		case *policyv1alpha2.ClusterNetworkPolicy:
			out.plain = false
			snap.ClusterPolicies = append(slices.Clone(snap.ClusterPolicies), cluster.ClusterPolicy{Kind: o.Kind, Object: o})
		}
	}
	out.Model = policy.Compile(&snap, m.Options())
	return out
}

// unsaid asks every flow on both sides, and says what the suggestion left out.
func unsaid(r *Resolver, after *policy.Model, a *Answer, s *Suggestion, seen map[string]int) string {
	snap := r.Model.Snapshot()
	every := End{External: true, Regions: r.external().Regions}
	for i := range snap.Pods {
		every.Pods = append(every.Pods, i)
	}
	for i := range snap.Nodes {
		every.Nodes = append(every.Nodes, i)
	}
	asks := &asking{r: r, src: every, dst: every}
	for _, f := range flow.Families {
		ends := singles(asks, &every, f)
		for _, x := range ends {
			for _, y := range ends {
				if x.Kind != flow.Pod && y.Kind != flow.Pod {
					continue
				}
				for _, proto := range netset.Protos {
					for _, port := range []uint16{80, 81, 8080, 443} {
						fl := flow.Flow{From: x, To: y, Family: f, Proto: proto, Port: port}
						was, now := eval.Verdict(r.Model, &fl), eval.Verdict(after, &fl)
						switch {
						case was == flow.Allowed && now != flow.Allowed:
							return "closes " + endWord(snap, x) + " to " + endWord(snap, y)
						case was != flow.Allowed && now == flow.Allowed:
							seen["opened"]++
							p := Pair{endWord(snap, x), endWord(snap, y)}
							if !askedAbout(snap, a, p) && s.Count <= MaxOpens && !slices.Contains(s.Opens, p) {
								return "opens " + p.From + " to " + p.To
							}
						}
					}
				}
			}
		}
	}
	return ""
}

func endWord(s *cluster.Snapshot, e flow.End) string {
	switch e.Kind {
	case flow.Node:
		return "node/" + s.Nodes[e.Index].Name
	case flow.Pod:
		return s.Pods[e.Index].Owner.String()
	}
	return "external"
}

// askedAbout tells whether a pair is the question's own, by the words of the answer.
func askedAbout(s *cluster.Snapshot, a *Answer, p Pair) bool {
	in := func(e *End, word string) bool {
		return slices.ContainsFunc(e.Pods, func(i int) bool { return s.Pods[i].Owner.String() == word }) ||
			slices.ContainsFunc(e.Nodes, func(i int) bool { return "node/"+s.Nodes[i].Name == word }) ||
			len(e.Regions) > 0 && word == "external"
	}
	return in(&a.src, p.From) && in(&a.dst, p.To)
}
