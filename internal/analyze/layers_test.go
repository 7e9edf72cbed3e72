package analyze_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/bench"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// layeredPorts are the numbers that worlds with layers use beside somePorts, and some next to them.
var layeredPorts = append([]uint16{1432, 1433, 1434, 8082, 8090, 10999, 11000, 11500, 11999, 12000}, somePorts...)

// layered is a world with layers, analysed.
type layered struct {
	s *cluster.Snapshot
	m *policy.Model
	l *layers.Model
	r *analyze.Reach
	o oracle.Options
}

func optionsOf(o oracle.Options) policy.Options {
	return policy.Options{Strict: o.Strict, PodCIDRs: o.PodCIDRs, BlockMetadata: o.BlockMetadata, Azure: o.Azure, Behaviour: policy.Behaviour{NotEnforced: o.NotEnforced}}
}

func newLayered(s *cluster.Snapshot, o oracle.Options, byNamespace bool) layered {
	m := policy.Compile(s, optionsOf(o))
	r := question.NewResolver(m, "default")
	return layered{s, m, layers.Compile(m), analyze.New(m, r.Space(), analyze.Options{Outside: r.Outside(), ByNamespace: byNamespace,
		Services: r.Services(r.Space(), r.Outside()), Strangers: analyze.NewStrangers(r.Outside(), nil, r.Layers())}), o}
}

// verdict decides a flow without any class: a service is closed on the ports that it does not serve.
func (w *layered) verdict(f *flow.Flow, service int) flow.Verdict {
	v := eval.Verdict(w.m, f)
	switch {
	case w.l == nil:
		return v
	case service >= 0 && !w.l.Serves(service, f.Proto, f.Port):
		return flow.Denied
	}
	return v.And(w.l.Verdict(f, service))
}

// TestLayeredReachIsPairByPair compares what the classes give with every pair of pods, nodes and pieces of the outside,
// one flow at a time, where layers speak.
func TestLayeredReachIsPairByPair(t *testing.T) {
	compared, strangers := 0, 0
	for end := time.Now().Add(world.Soak(t, 4*time.Second, 6)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(0).Draw(rt, "case")
			s := c.World.Snapshot()
			s.Facts.TrustDomain = c.Options.TrustDomain
			w := newLayered(s, c.Options, rapid.Bool().Draw(rt, "by namespace"))
			compared += w.compareAll(rt)
			strangers += w.compareStrangers(rt, question.NewResolver(w.m, "").Outside(), 2)
		})
	}
	t.Logf("%d pairs of parties and %d strangers compared", compared, strangers)
	if compared == 0 || strangers == 0 {
		t.Error("nothing was compared")
	}
}

func (w *layered) compareAll(rt *rapid.T) int {
	listed := map[[2]int]bool{}
	w.r.Each(false, func(row *analyze.Row) bool {
		listed[[2]int{row.From, row.To}] = true
		return true
	})
	compared := 0
	for from := range w.r.Parties {
		for to := range w.r.Parties {
			a, b := &w.r.Parties[from], &w.r.Parties[to]
			if w.r.Unasked(from, to) {
				if ofPods := !a.External && !b.Stranger || a.External && !a.Stranger && a.Service == 0 && !b.External; ofPods {
					rt.Fatalf("%s → %s is left out", a.Name, b.Name)
				}
				continue
			}
			compared++
			row, ok := w.r.Between(from, to)
			if open := ok && !row.Empty(); open != listed[[2]int{from, to}] {
				rt.Fatalf("%s → %s: open is %v, and Each does not say so", a.Name, b.Name, open)
			}
			if ok {
				w.compare(rt, &row, b.Service-1)
			}
		}
	}
	return compared
}

func (w *layered) compare(rt *rapid.T, row *analyze.Row, service int) {
	flows := w.r.Flows(row.From, row.To)
	for _, proto := range netset.Protos {
		for _, port := range layeredPorts {
			seen := map[flow.Verdict]bool{}
			for _, f := range flows {
				if f.Proto = proto; proto != netset.Other {
					f.Port = port
				}
				seen[w.verdict(&f, service)] = true
			}
			if want, got := expected(seen), claimed(row, proto, port); want != got {
				rt.Fatalf("%s → %s %v/%d: pair by pair %v (%s), classes %s", w.r.Parties[row.From].Name, w.r.Parties[row.To].Name, proto, port, seen, want, got)
			}
		}
	}
}

// TestLayeredDiffLaw: a pair of parties is in the diff if and only if its row is not what it was.
func TestLayeredDiffLaw(t *testing.T) {
	differ, strangers := 0, 0
	for end := time.Now().Add(world.Soak(t, 4*time.Second, 6)); time.Now().Before(end) && !t.Failed(); {
		rapid.Check(t, func(rt *rapid.T) {
			c := world.LayeredCases(0).Draw(rt, "case")
			was := c.World.Snapshot()
			is := changeLayers(rt, was)
			all, strange := compareDiff(rt, was, is, c.Options)
			differ, strangers = differ+all, strangers+strange
		})
	}
	t.Logf("%d pairs differ, %d of them strangers'", differ, strangers)
	if differ == 0 || strangers == 0 {
		t.Error("no change changed anything")
	}
}

// changeLayers takes away, or changes, one or a few things that layers are about.
func changeLayers(rt *rapid.T, was *cluster.Snapshot) *cluster.Snapshot {
	is := *was
	is.Identities, is.AccessPolicies, is.External = slices.Clone(was.Identities), slices.Clone(was.AccessPolicies), slices.Clone(was.External)
	for range rapid.IntRange(1, 2).Draw(rt, "changes") {
		which := func(n int) int { return rapid.IntRange(0, n-1).Draw(rt, "which") }
		switch kind := rapid.IntRange(0, 5).Draw(rt, "change"); {
		case kind == 0 && len(is.Identities) > 0:
			i := which(len(is.Identities))
			is.Identities = slices.Delete(is.Identities, i, i+1)
		case kind == 1 && len(is.AccessPolicies) > 0:
			i := which(len(is.AccessPolicies))
			is.AccessPolicies = slices.Delete(is.AccessPolicies, i, i+1)
		case kind == 2 && len(is.External) > 0:
			i := which(len(is.External))
			is.External = slices.Delete(is.External, i, i+1)
		case kind == 3 && len(is.External) > 0: // other addresses
			x := &is.External[which(len(is.External))]
			spec := x.Spec.DeepCopy()
			spec.CIDRs = rapid.SampledFrom([][]string{nil, {"203.0.113.0/25"}, {"203.0.113.0/24", "8.8.8.0/24"}}).Draw(rt, "cidrs")
			x.Spec = spec
		case kind == 4 && len(is.External) > 0:
			x := &is.External[which(len(is.External))]
			x.Spec = otherFirewall(rt, x.Spec)
		default:
			is.Facts.TrustDomain = rapid.SampledFrom([]string{"", "example.org"}).Draw(rt, "trust domain")
		}
	}
	return &is
}

// otherFirewall opens or closes a firewall, or changes whom it admits.
func otherFirewall(rt *rapid.T, was *v1alpha1.ExternalServiceSpec) *v1alpha1.ExternalServiceSpec {
	spec := was.DeepCopy()
	if spec.Firewall == nil || rapid.IntRange(0, 4).Draw(rt, "anew") == 0 {
		spec.Firewall = &v1alpha1.ExternalFirewall{}
	}
	switch rapid.IntRange(0, 3).Draw(rt, "firewall") {
	case 0:
		spec.Firewall.IPRules = nil
	case 1:
		spec.Firewall.AllowAzureServices = !spec.Firewall.AllowAzureServices
	case 2:
		spec.Firewall.PublicNetworkAccess = rapid.SampledFrom([]v1alpha1.PublicNetworkAccess{v1alpha1.PublicEnabled, v1alpha1.PublicDisabled}).Draw(rt, "public")
	default:
		r := rapid.SampledFrom([][2]string{{"0.0.0.0", "255.255.255.255"}, {"203.0.113.0", "203.0.113.63"}, {"198.51.100.7", "198.51.100.7"}, {"2001:db8::", "2001:db8::ffff"}}).Draw(rt, "rule")
		spec.Firewall.IPRules = append(spec.Firewall.IPRules, v1alpha1.IPRule{First: r[0], Last: r[1]})
	}
	return spec
}

// compareDiff counts the pairs that differ, and those of them that begin outside and end at a service.
func compareDiff(rt *rapid.T, was, is *cluster.Snapshot, options oracle.Options) (differ, strange int) {
	o := optionsOf(options)
	a, b := question.NewResolver(policy.Compile(was, o), ""), question.NewResolver(policy.Compile(is, o), "")
	space, outside := question.Together(a, b)
	strangers := analyze.NewStrangers(outside, nil, a.Layers(), b.Layers())
	side := func(r *question.Resolver) *analyze.Reach {
		return analyze.New(r.Model, space, analyze.Options{Outside: outside, Services: r.Services(space, outside), Strangers: strangers})
	}
	before, after := side(a), side(b)
	for i, s := range []*cluster.Snapshot{was, is} {
		r := []*analyze.Reach{before, after}[i]
		of := options
		of.TrustDomain = s.Facts.TrustDomain
		w := layered{s, r.Model(), layers.Compile(r.Model()), r, of}
		w.compareStrangers(rt, outside, 4)
	}
	d := analyze.NewDiff(before, after)
	changed := map[[2]string]bool{}
	d.Each(func(c *analyze.Change) bool {
		pair := [2]string{d.Parties[c.From].Name, d.Parties[c.To].Name}
		if d.Parties[c.From].External && !changed[pair] && d.Parties[c.To].Service > 0 {
			strange++
		}
		changed[pair] = true
		if why := d.Why(c); why.Before == nil && why.After == nil {
			rt.Fatalf("no witness of %s → %s", d.Parties[c.From].Name, d.Parties[c.To].Name)
		}
		return true
	})
	old, now := rowTexts(before), rowTexts(after)
	for pair, text := range old {
		if other, ok := now[pair]; ok && (text != other) && !changed[pair] {
			rt.Fatalf("%v: was %s, is %s, and the diff does not say so", pair, text, other)
		} else if ok && text == other && changed[pair] && !hasPartial(text) {
			rt.Fatalf("%v: was and is %s, and the diff says it changed", pair, text)
		}
	}
	return len(changed), strange
}

func rowTexts(r *analyze.Reach) map[[2]string]string {
	out := map[[2]string]string{}
	r.Each(true, func(row *analyze.Row) bool {
		text := row.Allowed.String() + "|" + row.Ambiguous.String() + "|" + row.Unknown.String() + "|" + row.Partial.String()
		out[[2]string{r.Parties[row.From].Name, r.Parties[row.To].Name}] = text
		return true
	})
	return out
}

func hasPartial(text string) bool { return text[len(text)-1] != '|' }

// BenchmarkLayeredRows reads every row of 2,000 workloads, each with an identity of its own, 500 of them with an access policy.
func BenchmarkLayeredRows(b *testing.B) {
	for _, layered := range []bool{false, true} {
		b.Run(fmt.Sprintf("layers=%v", layered), func(b *testing.B) {
			s := bench.Spread(2_000, 10_000, 2_000)
			if layered {
				bench.WithLayers(s)
			}
			m := policy.Compile(s, policy.Options{})
			res := question.NewResolver(m, "default")
			rows := 0
			for b.Loop() {
				rows = 0
				r := analyze.New(m, res.Space(), analyze.Options{Services: res.Services(res.Space(), res.Outside())})
				r.Each(false, func(*analyze.Row) bool {
					rows++
					return true
				})
			}
			b.ReportMetric(float64(rows), "rows")
		})
	}
}
