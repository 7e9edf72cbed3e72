package analyze_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"go4.org/netipx"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// compareStrangers asks the oracle about both ends of every CIDR of every piece of the outside that a service is asked from. The pieces
// must be the whole outside, each once, and no more than most in a family.
func (w *layered) compareStrangers(rt *rapid.T, outside []policy.Region, most int) int {
	compared := 0
	for to := range w.r.Parties {
		if w.r.Parties[to].Service == 0 {
			continue
		}
		pieces := map[flow.Family][]netip.Prefix{}
		count := map[flow.Family]int{}
		for from := range w.r.Parties {
			p := &w.r.Parties[from]
			if !p.External || w.r.Unasked(from, to) {
				continue
			}
			row, ok := w.r.Between(from, to)
			if !ok {
				rt.Fatalf("%s → %s: there is no pair", p.Name, w.r.Parties[to].Name)
			}
			f := flow.FamilyOf(p.CIDRs[0].Addr())
			pieces[f] = append(pieces[f], p.CIDRs...)
			count[f]++
			for _, c := range p.CIDRs {
				for _, a := range []netip.Addr{c.Addr(), netipx.PrefixLastIP(c)} {
					w.compareStranger(rt, &row, a)
					compared++
				}
			}
		}
		w.wholeOutside(rt, to, pieces, outside)
		for f, n := range count {
			if n > most {
				rt.Fatalf("%s: %d pieces of %v, and its firewalls tell %d apart at most", w.r.Parties[to].Name, n, f, most)
			}
		}
	}
	return compared
}

// servicePorts are some that services of drawn worlds serve, and some that few of them do.
var servicePorts = []uint16{53, 80, 443, 1433, 11000, 12000}

// compareStranger compares a row with the oracle's answers to one address, for each address of the service.
func (w *layered) compareStranger(rt *rapid.T, row *analyze.Row, from netip.Addr) {
	service := w.r.Parties[row.To].Service - 1
	for _, proto := range netset.Protos {
		for _, port := range servicePorts {
			seen := map[flow.Verdict]bool{}
			for _, f := range w.r.Flows(row.From, row.To) {
				f.From.Addr, f.Proto = from, proto
				if proto != netset.Other {
					f.Port = port
				}
				v := flow.Denied
				if w.l.Serves(service, f.Proto, f.Port) {
					v = oracle.AskLayers(w.s, w.o, f, service).Verdict
				}
				seen[v] = true
			}
			if want, got := expected(seen), claimed(row, proto, port); want != got {
				rt.Fatalf("%s of %s → %s %v/%d: the oracle %v (%s), classes %s", from, w.r.Parties[row.From].Name, w.r.Parties[row.To].Name, proto, port, seen, want, got)
			}
		}
	}
}

// wholeOutside wants the pieces of a service to be disjoint, and together the outside of each family in which it has addresses.
func (w *layered) wholeOutside(rt *rapid.T, to int, pieces map[flow.Family][]netip.Prefix, outside []policy.Region) {
	for _, f := range flow.Families {
		var want, got netipx.IPSetBuilder
		for _, region := range outside {
			for _, c := range region.CIDRs() {
				if flow.FamilyOf(c.Addr()) == f {
					want.AddPrefix(c)
				}
			}
		}
		for i, c := range pieces[f] {
			got.AddPrefix(c)
			if slices.ContainsFunc(pieces[f][:i], c.Overlaps) {
				rt.Fatalf("%s: %s is in two pieces", w.r.Parties[to].Name, c)
			}
		}
		b, _ := got.IPSet()
		for known := range w.l.Inside() { // single ones may be left out
			if !b.Contains(known) {
				want.Remove(known)
			}
		}
		a, _ := want.IPSet()
		has := slices.ContainsFunc(w.r.Parties[to].CIDRs, func(c netip.Prefix) bool { return flow.FamilyOf(c.Addr()) == f })
		if has && !a.Equal(b) || !has && len(b.Ranges()) > 0 {
			rt.Fatalf("%s: asked from %v, and the outside is %v", w.r.Parties[to].Name, b.Prefixes(), a.Prefixes())
		}
	}
}

// service gives a service with IP rules FIRST-LAST; "azure" stands for allowAzureServices.
func service(name string, cidrs []string, rules ...string) cluster.ExternalService {
	spec := &v1alpha1.ExternalServiceSpec{CIDRs: cidrs, Ports: []v1alpha1.ExternalPort{{Port: 1433}}, Firewall: &v1alpha1.ExternalFirewall{}}
	for _, r := range rules {
		if first, last, ok := strings.Cut(r, "-"); ok {
			spec.Firewall.IPRules = append(spec.Firewall.IPRules, v1alpha1.IPRule{First: first, Last: last})
			continue
		}
		spec.Firewall.AllowAzureServices = true
	}
	return cluster.ExternalService{Namespace: "shop", Name: name, Spec: spec}
}

// strangersOf lists who reaches services from outside, and with what verdict.
func strangersOf(services ...cluster.ExternalService) []string {
	m := policy.Compile(&cluster.Snapshot{External: services}, policy.Options{PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16")}})
	res := question.NewResolver(m, "")
	r := analyze.New(m, res.Space(), analyze.Options{Outside: res.Outside(), Services: res.Services(res.Space(), res.Outside()),
		Strangers: analyze.NewStrangers(res.Outside(), nil, res.Layers())})
	var out []string
	r.Each(true, func(row *analyze.Row) bool {
		out = append(out, fmt.Sprintf("%s → %s %s", r.Parties[row.From].Name, r.Parties[row.To].Name, claimed(row, netset.TCP, 1433)))
		return true
	})
	return out
}

func TestStrangers(t *testing.T) {
	v4, both := []string{"198.51.100.0/24"}, []string{"198.51.100.0/24", "2001:db8::/32"}
	var odd []string
	for i := range 256 {
		odd = append(odd, fmt.Sprintf("203.0.%d.1-203.0.%d.1", i, i))
	}
	for _, c := range []struct {
		name     string
		services []cluster.ExternalService
		want     []string
	}{
		{"no rule", []cluster.ExternalService{service("a", v4)}, []string{"external/0.0.0.0/0 → shop/externalservice/a denied"}},
		{"every address", []cluster.ExternalService{service("a", both, "0.0.0.0-255.255.255.255")},
			[]string{"external/0.0.0.0/0 → shop/externalservice/a allowed", "external/::/0 → shop/externalservice/a denied"}},
		{"one", []cluster.ExternalService{service("a", v4, "203.0.113.7-203.0.113.7")},
			[]string{"external/203.0.113.7/32 → shop/externalservice/a allowed", "external/0.0.0.0/0 except 203.0.113.7/32 → shop/externalservice/a denied"}},
		{"around the pods", []cluster.ExternalService{service("a", v4, "10.0.0.0-10.255.255.255", "azure")},
			[]string{"external/10.0.0.0/8 → shop/externalservice/a allowed", "external/0.0.0.0/0 except 10.0.0.0/8 → shop/externalservice/a unknown"}},
		{"each by its own", []cluster.ExternalService{service("a", v4, "203.0.113.7-203.0.113.7"), service("b", v4, "192.0.2.1-192.0.2.1")}, []string{
			"external/203.0.113.7/32 → shop/externalservice/a allowed", "external/0.0.0.0/0 except 203.0.113.7/32 → shop/externalservice/a denied",
			"external/192.0.2.1/32 → shop/externalservice/b allowed", "external/0.0.0.0/0 except 192.0.2.1/32 → shop/externalservice/b denied"}},
		{"many", []cluster.ExternalService{service("a", v4, odd...)}, []string{
			"external/203.0.0.1/32,203.0.1.1/32,203.0.2.1/32,203.0.3.1/32 and 252 more → shop/externalservice/a allowed",
			"external/0.0.0.0/0 except 203.0.0.1/32,203.0.1.1/32,203.0.2.1/32,203.0.3.1/32 and 252 more → shop/externalservice/a denied"}},
	} {
		if got := strangersOf(c.services...); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
}
