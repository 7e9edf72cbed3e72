package expect_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/expect"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

func drawnResolver(rt *rapid.T) *question.Resolver {
	c := world.Cases(0).Draw(rt, "case")
	m := policy.Compile(c.World.Snapshot(), policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata})
	return question.NewResolver(m, "blue")
}

// TestFirstHolds: the tests that --init writes hold for what they were made from, and are read back as written.
func TestFirstHolds(t *testing.T) {
	seen := map[expect.Kind]int{}
	for end := time.Now().Add(world.Soak(t, 2*time.Second, 16)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			r := drawnResolver(rt)
			tests, skipped := expect.First(analyze.New(r.Model, r.Space(), analyze.Options{Outside: r.Outside()}))
			if len(tests) == 0 && len(skipped) == 0 {
				return
			}
			for i := range tests {
				seen[tests[i].Kind]++
				for _, list := range [][]expect.End{tests[i].From, tests[i].To} {
					for j := range list {
						list[j] = parsed(rt, list[j].Text)
					}
				}
			}
			results, errs := expect.Run(r, tests)
			for _, err := range errs {
				rt.Errorf("%v", err)
			}
			for _, result := range results {
				if result.Status != expect.Holds {
					rt.Fatalf("%s %s: %v", result.Test.Name, result.Status, result.Against)
				}
			}
		})
	}
	t.Logf("%v", seen)
	for _, k := range []expect.Kind{expect.Allow, expect.Deny, expect.Only} {
		if seen[k] == 0 {
			t.Errorf("no test was %s", k)
		}
	}
}

func parsed(t interface{ Fatalf(string, ...any) }, text string) expect.End {
	e, err := expect.ParseEnd(text, true)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return e
}

// chosen is an end and, by itself, which pods and addresses it stands for.
type chosen struct {
	end expect.End
	has func(s *cluster.Snapshot, e flow.End) bool
}

func pods(f func(p *cluster.Pod) bool) func(*cluster.Snapshot, flow.End) bool {
	return func(s *cluster.Snapshot, e flow.End) bool { return e.Kind == flow.Pod && f(&s.Pods[e.Index]) }
}

func drawEnd(rt *rapid.T, source bool) chosen {
	term := func(text string) expect.End { return parsed(rt, text) }
	app := func(value string) *expect.Select {
		return &expect.Select{Namespace: "*", Pods: policy.NewSelector(metav1.LabelSelector{MatchLabels: map[string]string{"app": value}})}
	}
	choices := []chosen{
		{term("blue/*"), pods(func(p *cluster.Pod) bool { return p.Namespace == "blue" })},
		{term("*/*"), pods(func(*cluster.Pod) bool { return true })},
		{term("*/p0"), pods(func(p *cluster.Pod) bool { return p.Owner.Name == "p0" })},
		{term("*/deployment/d*"), pods(func(p *cluster.Pod) bool { return p.Owner.Kind == "deployment" })},
		{expect.End{Text: "app=x", Select: app("x")}, pods(func(p *cluster.Pod) bool { return p.Labels["app"] == "x" })},
		{expect.End{Text: "app=z", Select: app("z")}, pods(func(p *cluster.Pod) bool { return p.Labels["app"] == "z" })},
		{term("203.0.113.9"), func(_ *cluster.Snapshot, e flow.End) bool {
			return e.Kind == flow.Address && e.Addr.String() == "203.0.113.9"
		}},
	}
	c := rapid.SampledFrom(choices).Draw(rt, "end")
	if !source {
		p, err := question.ParsePort(rapid.SampledFrom([]string{"80", "53/udp", "8080", "*/icmp", "79-81"}).Draw(rt, "port"))
		if err != nil {
			rt.Fatal(err)
		}
		c.end.Port = p
	}
	return c
}

// TestRunIsPairByPair compares the outcome of drawn tests with that of asking every pair of pods.
func TestRunIsPairByPair(t *testing.T) {
	seen := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 3*time.Second, 12)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			r := drawnResolver(rt)
			from, to := drawEnd(rt, true), drawEnd(rt, false)
			test := expect.Test{Name: "drawn", Kind: rapid.SampledFrom([]expect.Kind{expect.Allow, expect.Deny, expect.Only}).Draw(rt, "kind"),
				From: []expect.End{from.end}, To: []expect.End{to.end}}
			results, errs := expect.Run(r, []expect.Test{test})
			if len(errs) > 0 {
				seen["refused"]++
				return
			}
			want := bruteForce(r, &test, from.has, to.has)
			seen[string(test.Kind)+" "+string(want)]++
			if got := results[0].Status; got != want {
				rt.Fatalf("%s %s → %s:%s %s, pair by pair it %s", test.Kind, from.end.Text, to.end.Text, to.end.Port, got, want)
			}
			for _, a := range results[0].Against {
				if d := a.Decision.Verdict; d == 0 || test.Kind == expect.Allow && d == flow.Allowed || test.Kind != expect.Allow && d == flow.Denied {
					rt.Fatalf("against %s stands a flow that is %v", test.Kind, d)
				}
			}
		})
	}
	t.Logf("%v", seen)
	for _, want := range []string{"allow holds", "allow fails", "deny holds", "deny fails", "deny undecided", "only holds", "only fails", "refused"} {
		if seen[want] == 0 {
			t.Errorf("%s was never seen", want)
		}
	}
}

func bruteForce(r *question.Resolver, test *expect.Test, from, to func(*cluster.Snapshot, flow.End) bool) expect.Status {
	s := r.Model.Snapshot()
	space, outside := r.Divided([]netip.Prefix{netip.MustParsePrefix("203.0.113.9/32")})
	all := analyze.New(r.Model, space, analyze.Options{Outside: outside})
	fails, unsure := false, false
	port := test.To[0].Port
	for a := range all.Parties {
		for b := range all.Parties {
			for _, f := range all.Flows(a, b) {
				source := from(s, f.From)
				if test.Kind == expect.Only {
					source = !source && !(f.From.Kind == flow.Pod && s.Pods[f.From.Index].HostNetwork)
				}
				if !source || !to(s, f.To) || f.From.Kind == flow.Address && f.To.Kind == flow.Address {
					continue
				}
				for _, e := range port.Ports().Entries() {
					for n := int(e.Range.First); n <= int(e.Range.Last); n++ {
						f.Proto, f.Port = e.Proto, uint16(n)
						switch v := eval.Verdict(r.Model, &f); {
						case v == flow.Allowed && test.Kind == expect.Allow, v == flow.Denied && test.Kind != expect.Allow:
						case v == flow.Allowed || v == flow.Denied:
							fails = true
						default:
							unsure = true
						}
					}
				}
			}
		}
	}
	switch {
	case fails:
		return expect.Fails
	case unsure:
		return expect.Undecided
	}
	return expect.Holds
}

// TestSplitWorkload: a test may be about some pods of a workload only.
func TestSplitWorkload(t *testing.T) {
	owner := cluster.Workload{Namespace: "a", Kind: "deployment", Name: "web"}
	s := &cluster.Snapshot{Namespaces: []cluster.Namespace{{Name: "a", Labels: map[string]string{cluster.MetadataNameLabel: "a"}}},
		Pods: []cluster.Pod{
			{Namespace: "a", Name: "web-1", Owner: owner, Labels: map[string]string{"track": "stable"}},
			{Namespace: "a", Name: "web-2", Owner: owner, Labels: map[string]string{"track": "canary"}},
		}}
	r := question.NewResolver(policy.Compile(s, policy.Options{}), "a")
	canary := &expect.Select{Namespace: "a", Pods: policy.NewSelector(metav1.LabelSelector{MatchLabels: map[string]string{"track": "canary"}})}
	results, errs := expect.Run(r, []expect.Test{
		{Name: "only the canary", Kind: expect.Only, From: []expect.End{{Text: "canary", Select: canary}}, To: []expect.End{parsed(t, "a/web-1")}},
		{Name: "both", Kind: expect.Only, From: []expect.End{parsed(t, "a/web"), parsed(t, "external")}, To: []expect.End{parsed(t, "a/web-1")}},
	})
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	if results[0].Status != expect.Fails || results[1].Status != expect.Holds {
		t.Errorf("%v and %v", results[0].Status, results[1].Status)
	}
	if !slices.ContainsFunc(results[0].Against, func(a expect.Against) bool {
		return a.From == "external/0.0.0.0/0 (rest)" || a.From == "external/0.0.0.0/0"
	}) {
		t.Errorf("%v: the outside is not among those that may", results[0].Against)
	}
}

// TestAllowedInNoFamily: a pod that shares no family with the other side is not allowed anything, though
// others of its side are.
func TestAllowedInNoFamily(t *testing.T) {
	pod := func(name, addr string) cluster.Pod {
		return cluster.Pod{Namespace: "a", Name: name, Owner: cluster.Workload{Namespace: "a", Kind: "pod", Name: name}, Addrs: []netip.Addr{netip.MustParseAddr(addr)}}
	}
	s := &cluster.Snapshot{Namespaces: []cluster.Namespace{{Name: "a", Labels: map[string]string{cluster.MetadataNameLabel: "a"}}},
		Pods: []cluster.Pod{pod("four", "10.0.0.1"), pod("six", "fd00::6")}}
	r := question.NewResolver(policy.Compile(s, policy.Options{}), "a")
	from := []expect.End{parsed(t, "a/four"), parsed(t, "a/six")}
	four := []expect.End{parsed(t, "203.0.113.0/24")}
	for _, c := range []struct {
		test expect.Test
		want string
	}{
		{expect.Test{Kind: expect.Allow, From: from, To: four}, `test "": a/pod/six shares no address family with any end on the other side, so nothing can be allowed`},
		{expect.Test{Kind: expect.Allow, From: four, To: from}, `test "": a/pod/six shares no address family with any end on the other side, so nothing can be allowed`},
		{expect.Test{Kind: expect.Allow, From: from, To: append(four, parsed(t, "2001:db8::/32"))}, ""},
		{expect.Test{Kind: expect.Deny, From: from, To: four}, ""},
	} {
		_, errs := expect.Run(r, []expect.Test{c.test})
		got := ""
		for _, err := range errs {
			got += err.Error()
		}
		if got != c.want {
			t.Errorf("%s %v → %v: %q, not %q", c.test.Kind, c.test.From, c.test.To, got, c.want)
		}
	}
}
