package question

import (
	"encoding/json"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
)

// drawn is a random world with a resolver for it.
func drawn(rt *rapid.T) (*Resolver, world.Case) {
	c := world.Cases(1).Draw(rt, "case")
	if rapid.Bool().Draw(rt, "pods alike") {
		for i := range c.World.Pods {
			c.World.Pods[i].Namespace, c.World.Pods[i].Labels = c.World.Pods[0].Namespace, c.World.Pods[0].Labels
			c.World.Pods[i].Spec.Containers = c.World.Pods[0].Spec.Containers
		}
	}
	snap := c.World.Snapshot()
	if rapid.Bool().Draw(rt, "one workload") {
		for i := range snap.Pods {
			snap.Pods[i].Owner.Kind, snap.Pods[i].Owner.Name = "deployment", "all"
		}
	}
	o := policy.Options{Strict: c.Options.Strict, PodCIDRs: c.Options.PodCIDRs, BlockMetadata: c.Options.BlockMetadata}
	return NewResolver(policy.Compile(snap, o), "default"), c
}

// drawTerm draws an end as a person would write it.
func drawTerm(rt *rapid.T, r *Resolver, label string) Term {
	snap := r.Model.Snapshot()
	texts := []string{"external", "203.0.113.9", "10.0.0.0/23", "10.1.0.0/24"}
	for i := range snap.Pods {
		texts = append(texts, snap.Pods[i].Owner.String(), snap.Pods[i].Owner.String())
		for _, a := range snap.Pods[i].Addrs {
			texts = append(texts, a.String(), snap.Pods[i].Owner.String()+"@"+a.String())
		}
	}
	for i := range snap.Nodes {
		texts = append(texts, "node/"+snap.Nodes[i].Name)
	}
	text := rapid.SampledFrom(texts).Draw(rt, label)
	t, err := ParseTerm(text, false)
	if err != nil {
		rt.Fatalf("%s: %v", text, err)
	}
	return t
}

// TestAnswersHoldForEveryPair asks about workloads, and compares with every pair of pods, nodes and
// addresses that the question stands for, taken one by one.
func TestAnswersHoldForEveryPair(t *testing.T) {
	words := map[string]int{}
	for end := time.Now().Add(world.Soak(t, 3*time.Second, 4)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			r, c := drawn(rt)
			from, to := drawTerm(rt, r, "from"), drawTerm(rt, r, "to")
			port := rapid.SampledFrom([]uint16{80, 8080, 53}).Draw(rt, "port")
			to.Port = PortTerm{Given: true, Range: netset.PortRange{First: port, Last: port}}
			got := "none"
			if a, err := r.Ask(from, to); err == nil {
				got = a.Verdict
			}
			words[got]++
			if want := oneByOne(r, from, to, port); got != want {
				rt.Fatalf("%s %s:%d is %s, and pair by pair %s\n%#v", from.Text, to.Text, port, got, want, c)
			}
		})
	}
	t.Logf("answers: %v", words)
	if words[Partial] == 0 || words["allowed"] == 0 || words["denied"] == 0 {
		t.Errorf("too little was asked: %v", words)
	}
}

// TestSameQuestionSameAnswer keeps map order and the like out of answers and suggestions (S61).
func TestSameQuestionSameAnswer(t *testing.T) {
	for end := time.Now().Add(world.Soak(t, 3*time.Second, 4) / 3); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			r, c := drawn(rt)
			from, to := drawTerm(rt, r, "from"), drawTerm(rt, r, "to")
			again := NewResolver(policy.Compile(r.Model.Snapshot(), r.Model.Options()), "default")
			first, second := whole(rt, r, from, to), whole(rt, again, from, to)
			if first != second {
				rt.Fatalf("%s %s\n%s\n%s\n%#v", from.Text, to.Text, first, second, c)
			}
		})
	}
}

// whole is an answer with everything in it, as one text.
func whole(rt *rapid.T, r *Resolver, from, to Term) string {
	a, err := r.Ask(from, to)
	if err != nil {
		return err.Error()
	}
	s, err := r.Suggest(a)
	if err != nil {
		rt.Fatal(err)
	}
	text, err := json.Marshal([]any{a.Parts, a.Notes, a.Verdict, s})
	if err != nil {
		rt.Fatal(err)
	}
	for i := range a.Parts {
		text = append(text, a.Parts[i].Ports.String()...)
	}
	return string(text)
}

// oneByOne gives the common verdict of every pair, or partial, or none.
func oneByOne(r *Resolver, from, to Term, port uint16) string {
	src, err := r.Resolve(from)
	if err != nil {
		return "none"
	}
	dst, err := r.Resolve(to)
	if err != nil {
		return "none"
	}
	asks := &asking{r: r, src: src, dst: dst}
	verdicts, self := map[string]bool{}, map[string]bool{}
	for _, f := range flow.Families {
		if src.Family != 0 && src.Family != f || dst.Family != 0 && dst.Family != f {
			continue
		}
		for _, x := range singles(asks, &src, f) {
			for _, y := range singles(asks, &dst, f) {
				fl := flow.Flow{From: x, To: y, Family: f, Proto: netset.TCP, Port: port}
				into := verdicts
				if x.Kind == flow.Pod && y.Kind == flow.Pod && x.Index == y.Index {
					into = self
				}
				into[eval.Verdict(r.Model, &fl).String()] = true
			}
		}
	}
	if len(verdicts) == 0 {
		verdicts = self
	}
	switch len(verdicts) {
	case 0:
		return "none"
	case 1:
		for v := range verdicts {
			return v
		}
	}
	return Partial
}

// singles lists everything that an end stands for in a family, with each of its addresses.
func singles(asks *asking, e *End, f flow.Family) []flow.End {
	snap := asks.r.Model.Snapshot()
	var out []flow.End
	add := func(kind flow.Kind, i int, addrs []netip.Addr) {
		if e.From.IsValid() {
			addrs = []netip.Addr{e.From}
		}
		for _, a := range addrs {
			if flow.FamilyOf(a) == f && (!e.Within.IsValid() || e.Within.Contains(a)) {
				out = append(out, flow.End{Kind: kind, Index: i, Addr: a})
			}
		}
		if len(addrs) == 0 && (asks.asksOneFamily() || slices.Contains(asks.r.Model.Families(), f)) {
			out = append(out, flow.End{Kind: kind, Index: i})
		}
	}
	for _, i := range e.Pods {
		p := &snap.Pods[i]
		addrs := p.Addrs
		if n := snap.NodeIndex(p.NodeName); p.HostNetwork && len(addrs) == 0 && n >= 0 {
			addrs = snap.Nodes[n].Addrs
		}
		add(flow.Pod, i, addrs)
	}
	for _, i := range e.Nodes {
		add(flow.Node, i, snap.Nodes[i].Addrs)
	}
	for _, region := range e.Regions {
		a, ok := region.Pick(func(x netip.Addr) bool { _, known := asks.r.addrs[x]; return known })
		if ok && flow.FamilyOf(a) == f {
			out = append(out, flow.End{Kind: flow.Address, Addr: a})
		}
	}
	return out
}
