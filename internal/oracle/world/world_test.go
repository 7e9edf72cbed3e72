package world_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
)

// TestDistribution draws 10,000 flows from fixed seeds and logs how the answers are spread. Every
// verdict and every reason must occur, or the generator no longer tests it.
func TestDistribution(t *testing.T) {
	const worlds, flows = 1000, 10
	cases := world.UnevaluatedCases(flows)
	verdicts, reasons, unknown := map[flow.Verdict]int{}, map[flow.Reason]int{}, map[flow.Reason]int{}
	policies := 0
	for seed := range worlds {
		c := cases.Example(seed)
		s := c.World.Snapshot()
		policies += len(s.NetworkPolicies) + len(s.ClusterPolicies)
		for _, f := range c.Flows {
			a := oracle.Ask(s, c.Options, f)
			if a.Skipped {
				t.Errorf("seed %d: more than %d unknown matches for %+v", seed, oracle.MaxUnknowns, f)
			}
			verdicts[a.Verdict]++
			for _, d := range []oracle.Direction{a.Egress, a.Ingress} {
				reasons[d.Reason]++
				if d.Verdict == flow.Unknown || d.Verdict == flow.Ambiguous {
					unknown[d.Reason]++
				}
			}
		}
	}
	t.Logf("%d flows in %d worlds of %.1f policies", worlds*flows, worlds, float64(policies)/worlds)
	for _, v := range []flow.Verdict{flow.Allowed, flow.Denied, flow.Unknown, flow.Ambiguous} {
		t.Logf("%-15s %5d", v, verdicts[v])
		if verdicts[v] == 0 {
			t.Errorf("no flow is %v", v)
		}
	}
	for r := flow.NoPolicyHere; r <= flow.Default; r++ {
		t.Logf("%-15s %5d directions, %d of them unknown or ambiguous", r, reasons[r], unknown[r])
		if reasons[r] == 0 {
			t.Errorf("no direction has the reason %v", r)
		}
	}
}

// check runs a law over drawn cases; a failure shows the world as manifests.
func check(t *testing.T, law func(t *rapid.T, c world.Case)) {
	cases := world.UnevaluatedCases(6)
	rapid.Check(t, func(rt *rapid.T) { law(rt, cases.Draw(rt, "case")) })
}

type answerer func(flow.Flow) oracle.Answer

func ask(w world.World, o oracle.Options) answerer {
	s := w.Snapshot()
	return func(f flow.Flow) oracle.Answer { return oracle.Ask(s, o, f) }
}

// summary is what a law keeps.
func summary(a oracle.Answer, reasons bool) string {
	if reasons {
		return fmt.Sprint(a.Verdict, a.Egress.Verdict, a.Egress.Reason, a.Ingress.Verdict, a.Ingress.Reason)
	}
	return fmt.Sprint(a.Verdict, a.Egress.Verdict, a.Ingress.Verdict)
}

func TestLaws(t *testing.T) {
	same := func(t *rapid.T, c world.Case, f flow.Flow, want, got oracle.Answer, reasons bool, other world.World) {
		if summary(want, reasons) != summary(got, reasons) {
			t.Fatalf("%+v %+v:\nwas %+v\nnow %+v\n%s\n=====\n%s", f, c.Options, want, got, c.World.YAML(), other.YAML())
		}
	}
	t.Run("shuffle", func(t *testing.T) {
		check(t, func(t *rapid.T, c world.Case) {
			other := world.Shuffle(c.World, rapid.Uint64().Draw(t, "order"))
			was, now := ask(c.World, c.Options), ask(other, c.Options)
			for _, f := range c.Flows {
				same(t, c, f, was(f), now(f), true, other)
			}
		})
	})
	t.Run("split", func(t *testing.T) {
		check(t, func(t *rapid.T, c world.Case) {
			other := world.SplitPolicies(c.World)
			was, now := ask(c.World, c.Options), ask(other, c.Options)
			for _, f := range c.Flows {
				same(t, c, f, was(f), now(f), true, other)
			}
		})
	})
	t.Run("rename", func(t *testing.T) {
		check(t, func(t *rapid.T, c world.Case) {
			other, image := world.Rename(c.World)
			was, now := ask(c.World, c.Options), ask(other, c.Options)
			for _, f := range c.Flows {
				same(t, c, f, was(f), now(image(f)), false, other)
			}
		})
	})
	t.Run("mirror", func(t *testing.T) {
		check(t, func(t *rapid.T, c world.Case) {
			c.Options.BlockMetadata = false
			other := world.MirrorFamilies(c.World)
			was, now := ask(c.World, c.Options), ask(other, world.MirrorOptions(c.Options))
			for _, f := range c.Flows {
				if f.Family == flow.IPv4 {
					same(t, c, f, was(f), now(world.MirrorFlow(f)), true, other)
				}
			}
		})
	})
}

// TestLawsChangeSomething guards the laws against becoming the identity.
func TestLawsChangeSomething(t *testing.T) {
	laws := map[string]func(world.World) world.World{
		"shuffle": func(w world.World) world.World { return world.Shuffle(w, 1) },
		"split":   world.SplitPolicies,
		"mirror":  world.MirrorFamilies,
		"rename":  func(w world.World) world.World { r, _ := world.Rename(w); return r },
	}
	for name, law := range laws {
		changed := 0
		for seed := range 40 {
			w := world.UnevaluatedCases(1).Example(seed).World
			before := w.YAML()
			if law(w).YAML() != before {
				changed++
			}
			if w.YAML() != before {
				t.Fatalf("%s changed the world it was given", name)
			}
		}
		if changed < 12 {
			t.Errorf("%s changed %d worlds of 40", name, changed)
		}
	}
}

// TestMirrorTwice: mirroring twice gives the world back, blocks being written canonically.
func TestMirrorTwice(t *testing.T) {
	for seed := range 50 {
		w := world.UnevaluatedCases(1).Example(seed).World
		once := world.MirrorFamilies(w)
		thrice := world.MirrorFamilies(world.MirrorFamilies(once))
		if once.YAML() != thrice.YAML() {
			t.Fatalf("seed %d:\n%s\n=====\n%s", seed, once.YAML(), thrice.YAML())
		}
	}
}

// TestAnswersFitTogether checks what holds of every answer.
func TestAnswersFitTogether(t *testing.T) {
	check(t, func(t *rapid.T, c world.Case) {
		s := c.World.Snapshot()
		for _, f := range c.Flows {
			a := oracle.Ask(s, c.Options, f)
			if a.Verdict != a.Egress.Verdict.And(a.Ingress.Verdict) {
				t.Fatalf("%v is not %v and %v", a.Verdict, a.Egress.Verdict, a.Ingress.Verdict)
			}
			for _, d := range []oracle.Direction{a.Egress, a.Ingress} {
				byRule := d.Reason == flow.AdminRule || d.Reason == flow.PolicyRule || d.Reason == flow.BaselineRule
				if byRule != (d.Rule.Policy.Name != "") || (d.Reason == flow.Isolated) != (len(d.Isolating) > 0) {
					t.Fatalf("reason and rule do not fit: %+v", d)
				}
			}
		}
	})
}

func TestSnapshotIsSorted(t *testing.T) {
	for seed := range 50 {
		w := world.UnevaluatedCases(1).Example(seed).World
		s := w.Snapshot()
		if !slices.IsSortedFunc(s.Namespaces, func(a, b cluster.Namespace) int { return strings.Compare(a.Name, b.Name) }) {
			t.Fatalf("seed %d: namespaces are not sorted", seed)
		}
		if !reflect.DeepEqual(s, world.Shuffle(w, 0).Snapshot()) && reflect.DeepEqual(world.Shuffle(w, 0).YAML(), w.YAML()) {
			t.Fatalf("seed %d: the same world gives two snapshots", seed)
		}
		for _, p := range s.Pods {
			if s.NamespaceByName(p.Namespace) == nil || p.NodeName != "" && s.NodeIndex(p.NodeName) < 0 {
				t.Fatalf("seed %d: %v has no namespace or node", seed, p)
			}
		}
		for _, p := range s.NetworkPolicies {
			if len(p.Object.Spec.PolicyTypes) == 0 {
				t.Fatalf("seed %d: no policyTypes", seed)
			}
		}
	}
}

func BenchmarkCase(b *testing.B) {
	cases := world.Cases(10)
	for i := range b.N {
		cases.Example(i)
	}
}

func BenchmarkAsk(b *testing.B) {
	c := world.Cases(10).Example(1)
	s := c.World.Snapshot()
	for i := range b.N {
		oracle.Ask(s, c.Options, c.Flows[i%10])
	}
}

// TestBrokenPolicies: whatever S43 knows of broken cluster policies is drawn now and then, and only
// ever in policies that are from a server.
func TestBrokenPolicies(t *testing.T) {
	seen := map[string]int{}
	for seed := range 1000 {
		for _, p := range world.Cases(1).Example(seed).World.ClusterPolicies {
			for _, what := range broken(p) {
				seen[what]++
				if !p.FromServer {
					t.Fatalf("seed %d: %s in a file", seed, what)
				}
			}
		}
	}
	for _, what := range []string{"no subject", "two subjects", "unknown action"} {
		t.Logf("%s: %d", what, seen[what])
		if seen[what] == 0 {
			t.Errorf("%s is never drawn", what)
		}
	}
}

func broken(p world.ClusterPolicy) (out []string) {
	switch subject := p.Object.Spec.Subject; {
	case subject.Namespaces == nil && subject.Pods == nil:
		out = append(out, "no subject")
	case subject.Namespaces != nil && subject.Pods != nil:
		out = append(out, "two subjects")
	}
	known := []policyv1alpha2.ClusterNetworkPolicyRuleAction{"Accept", "Deny", "Pass"}
	for _, r := range p.Object.Spec.Ingress {
		if !slices.Contains(known, r.Action) {
			out = append(out, "unknown action")
		}
	}
	for _, r := range p.Object.Spec.Egress {
		if !slices.Contains(known, r.Action) {
			out = append(out, "unknown action")
		}
	}
	return out
}

// TestGoString: what rapid prints is the manifests and one line for each question.
func TestGoString(t *testing.T) {
	c := world.Cases(5).Example(3)
	text := fmt.Sprintf("%#v", c)
	if !strings.HasPrefix(text, c.World.YAML()) || strings.Count(text, "\n? ") != len(c.Flows) || strings.Contains(text, "0x") {
		t.Errorf("not compact:\n%s", text)
	}
}

// TestUnevaluated: all sorts of what is not evaluated are drawn, under --strict and without it, and
// each makes verdicts unknown where S2 and S33 say so, and nowhere else.
func TestUnevaluated(t *testing.T) {
	drawn, changed := map[string]int{}, map[string]int{}
	for seed := range 3000 {
		c := world.UnevaluatedCases(4).Example(seed)
		what := unevaluated(c)
		if what == "" {
			continue
		}
		evaluated := c.World
		evaluated.Unreadable, evaluated.ForeignPolicies = nil, nil
		was, now := ask(evaluated, c.Options), ask(c.World, c.Options)
		for _, f := range c.Flows {
			drawn[what]++
			a, b := was(f), now(f)
			if summary(a, true) == summary(b, true) {
				continue
			}
			changed[what]++
			for _, d := range [][2]oracle.Direction{{a.Egress, b.Egress}, {a.Ingress, b.Ingress}} {
				if d[0].Reason != d[1].Reason || d[0].Verdict != d[1].Verdict && d[1].Verdict != flow.Unknown {
					t.Errorf("seed %d, %s: %+v became %+v", seed, what, d[0], d[1])
				}
			}
		}
	}
	for _, what := range []string{"policies", "foreign", "objects", "in a namespace", "in the cluster", "ingress", "egress"} {
		for _, strict := range []bool{false, true} {
			key := fmt.Sprintf("%s, strict %v", what, strict)
			t.Logf("%-28s %5d flows, %d of them unknown by it", key, drawn[key], changed[key])
			decides := what == "policies" || strict && what != "objects"
			if drawn[key] == 0 || decides != (changed[key] > 0) {
				t.Errorf("%s: %d flows, %d of them changed", key, drawn[key], changed[key])
			}
		}
	}
}

// unevaluated names the sort of what is not evaluated, if it is one thing.
func unevaluated(c world.Case) string {
	var what string
	switch w := c.World; {
	case len(w.Unreadable)+len(w.ForeignPolicies) != 1:
		return ""
	case len(w.Unreadable) == 1:
		what = []string{cluster.MissingPolicies: "policies", cluster.MissingForeign: "foreign", cluster.MissingObjects: "objects"}[w.Unreadable[0].Missing]
	case !w.ForeignPolicies[0].Egress:
		what = "ingress"
	case !w.ForeignPolicies[0].Ingress:
		what = "egress"
	case w.ForeignPolicies[0].Namespace == "":
		what = "in the cluster"
	default:
		what = "in a namespace"
	}
	return fmt.Sprintf("%s, strict %v", what, c.Options.Strict)
}
