package world_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
)

// enough is how many of 12,000 questions must show what a distribution test asks for.
const (
	layeredWorlds, layeredQuestions = 1500, 8
	enough                          = 5
)

// TestLayeredDistribution: every answer of every layer, every verdict and every number of gates is drawn.
func TestLayeredDistribution(t *testing.T) {
	cases := world.LayeredCases(layeredQuestions)
	seen := map[string]int{}
	for seed := range layeredWorlds {
		c := cases.Example(seed)
		s := c.World.Snapshot()
		for _, q := range c.Questions {
			a := oracle.AskLayers(s, c.Options, q.Flow, q.Service)
			if a.Skipped {
				seen["skipped"]++
				continue
			}
			for l, o := range a.Answers {
				seen[fmt.Sprint(oracle.Layer(l), " ", o)]++
			}
			seen["verdict "+a.Verdict.String()]++
			seen[fmt.Sprint("gates ", a.Gates())]++
		}
	}
	want := []string{"verdict allowed", "verdict denied", "verdict unknown", "verdict ambiguous", "gates 0", "gates 1", "gates 2", "gates 3"}
	for l := oracle.NetworkEgress; l <= oracle.ExternalAuthentication; l++ {
		for o := oracle.None; o <= oracle.Unknown; o++ {
			want = append(want, fmt.Sprint(l, " ", o))
		}
	}
	for _, what := range want {
		t.Logf("%-32s %5d", what, seen[what])
		if seen[what] < enough {
			t.Errorf("%s: only %d times", what, seen[what])
		}
	}
	if seen["skipped"] > 0 {
		t.Errorf("%d questions have more than %d unknown matches", seen["skipped"], oracle.MaxUnknowns)
	}
}

// ownSpecs gives what a change may touch.
type ownSpecs struct {
	s *cluster.Snapshot
	o *oracle.Options
}

func (x ownSpecs) identities(do func(*cluster.WorkloadIdentity)) {
	for i := range x.s.Identities {
		do(&x.s.Identities[i])
	}
}

func (x ownSpecs) policies(do func(*cluster.AccessPolicy)) {
	for i := range x.s.AccessPolicies {
		do(&x.s.AccessPolicies[i])
	}
}

func (x ownSpecs) peers(do func(*v1alpha1.AccessPeer)) {
	x.policies(func(p *cluster.AccessPolicy) {
		for _, r := range p.Spec.Rules {
			for i := range r.From {
				do(&r.From[i])
			}
		}
	})
}

func (x ownSpecs) ports(do func(*v1alpha1.TargetPort)) {
	x.policies(func(p *cluster.AccessPolicy) {
		if p.Spec.Target.Pods != nil {
			for i := range p.Spec.Target.Pods.Ports {
				do(&p.Spec.Target.Pods.Ports[i])
			}
		}
	})
}

func (x ownSpecs) services(do func(*cluster.ExternalService)) {
	for i := range x.s.External {
		do(&x.s.External[i])
	}
}

func (x ownSpecs) firewalls(do func(*v1alpha1.ExternalFirewall)) {
	x.services(func(x *cluster.ExternalService) {
		if x.Spec.Firewall != nil {
			do(x.Spec.Firewall)
		}
	})
}

func (x ownSpecs) authentications(do func(*v1alpha1.ExternalAuthentication)) {
	x.services(func(x *cluster.ExternalService) {
		if x.Spec.Authentication != nil {
			do(x.Spec.Authentication)
		}
	})
}

// change takes away, or turns round, what one rule of docs/layers.md is about.
type change struct {
	rule, what string
	do         func(x ownSpecs)
	same       bool // it means the same: no answer may change
}

func identityChanges() []change {
	return []change{
		{"L3", "everything is read", func(x ownSpecs) { x.s.Unreadable = nil }, false},
		{"L4", "identities are understood", func(x ownSpecs) { x.identities(func(w *cluster.WorkloadIdentity) { w.NotUnderstood = nil }) }, false},
		{"L4", "policies are understood", func(x ownSpecs) { x.policies(func(p *cluster.AccessPolicy) { p.NotUnderstood = nil }) }, false},
		{"L4", "services are understood", func(x ownSpecs) { x.services(func(x *cluster.ExternalService) { x.NotUnderstood = nil }) }, false},
		{"L10", "another trust domain", func(x ownSpecs) { x.o.TrustDomain = "other.org" }, false},
		{"L10", "the trust domain is said", func(x ownSpecs) {
			if x.o.TrustDomain == "" {
				x.o.TrustDomain = "cluster.local"
			}
		}, true},
		{"L11", "no identity is narrowed", func(x ownSpecs) { x.identities(func(w *cluster.WorkloadIdentity) { w.Spec.PodSelector = nil }) }, false},
		{"L11", "one identity only", func(x ownSpecs) { x.s.Identities = x.s.Identities[:min(1, len(x.s.Identities))] }, false},
		{"L11", "resources with a slash more", func(x ownSpecs) {
			x.identities(func(w *cluster.WorkloadIdentity) {
				for _, e := range w.Spec.ExternalIdentities {
					for i := range e.Azure.Resources {
						e.Azure.Resources[i] += "/"
					}
				}
			})
		}, true},
		{"L12", "nothing requires the network", func(x ownSpecs) {
			x.identities(func(w *cluster.WorkloadIdentity) { *w.Spec.Require.NetworkEnforced = false })
		}, false},
		{"L12", "pods leave the node's network", func(x ownSpecs) {
			for i := range x.s.Pods {
				x.s.Pods[i].HostNetwork = false
			}
		}, false},
	}
}

func accessChanges() []change {
	return []change{
		{"L20", "no ports", func(x ownSpecs) {
			x.policies(func(p *cluster.AccessPolicy) {
				if p.Spec.Target.Pods != nil {
					p.Spec.Target.Pods.Ports = nil
				}
			})
		}, false},
		{"L20", "no ends of ranges", func(x ownSpecs) { x.ports(func(p *v1alpha1.TargetPort) { p.EndPort = nil }) }, false},
		{"L20", "no named ports of pods", func(x ownSpecs) {
			for i := range x.s.Pods {
				x.s.Pods[i].Ports = nil
			}
		}, false},
		{"L20", "every port is TCP", func(x ownSpecs) { x.ports(func(p *v1alpha1.TargetPort) { p.Protocol = "TCP" }) }, false},
		{"L21", "no denials", func(x ownSpecs) {
			x.policies(func(p *cluster.AccessPolicy) {
				p.Spec.Rules = slices.DeleteFunc(p.Spec.Rules, func(r v1alpha1.AccessRule) bool { return r.Action == v1alpha1.ActionDeny })
			})
		}, false},
		{"L21", "accounts of the own namespace", func(x ownSpecs) {
			x.peers(func(p *v1alpha1.AccessPeer) {
				if p.ServiceAccount != nil {
					p.ServiceAccount.Namespace = ""
				}
			})
		}, false},
		{"L21", "prefixes are IDs", func(x ownSpecs) {
			x.peers(func(p *v1alpha1.AccessPeer) { p.SPIFFEID, p.SPIFFEIDPrefix = p.SPIFFEID+p.SPIFFEIDPrefix, "" })
		}, false},
		{"L21", "IDs are prefixes", func(x ownSpecs) {
			x.peers(func(p *v1alpha1.AccessPeer) { p.SPIFFEID, p.SPIFFEIDPrefix = "", p.SPIFFEID+p.SPIFFEIDPrefix })
		}, false},
		{"L22", "nobody is foreign", func(x ownSpecs) {
			x.peers(func(p *v1alpha1.AccessPeer) {
				for _, id := range []*string{&p.SPIFFEID, &p.SPIFFEIDPrefix} {
					*id = strings.Replace(*id, "example.org", "cluster.local", 1)
				}
			})
			x.o.TrustDomain = ""
		}, false},
		{"L23", "nobody enforces", func(x ownSpecs) { x.policies(func(p *cluster.AccessPolicy) { p.Spec.EnforcedBy = "" }) }, false},
		{"L24", "no projections", func(x ownSpecs) { x.policies(func(p *cluster.AccessPolicy) { p.Spec.Project.Network = false }) }, false},
		{"L24", "all are projected", func(x ownSpecs) { x.policies(func(p *cluster.AccessPolicy) { p.Spec.Project.Network = true }) }, false},
		{"L25", "audits act", func(x ownSpecs) { x.policies(func(p *cluster.AccessPolicy) { p.Spec.Mode = v1alpha1.ModeEnforce }) }, false},
		{"L25", "audits are gone", func(x ownSpecs) {
			x.s.AccessPolicies = slices.DeleteFunc(x.s.AccessPolicies, func(p cluster.AccessPolicy) bool { return p.Spec.Mode == v1alpha1.ModeAudit })
			x.s.Identities = append(x.s.Identities, cluster.WorkloadIdentity{Spec: &v1alpha1.WorkloadIdentitySpec{}}) // so that L1 changes nothing
		}, true},
		{"L26", "no policy about services", func(x ownSpecs) {
			x.s.AccessPolicies = slices.DeleteFunc(x.s.AccessPolicies, func(p cluster.AccessPolicy) bool { return p.Spec.Target.Pods == nil })
		}, false},
	}
}

func serviceChanges() []change {
	return []change{
		{"L30", "one service only", func(x ownSpecs) { x.s.External = x.s.External[:min(1, len(x.s.External))] }, false},
		{"L30", "no cidrs", func(x ownSpecs) { x.services(func(x *cluster.ExternalService) { x.Spec.CIDRs = nil }) }, false},
		{"L30", "no ends of ranges", func(x ownSpecs) {
			x.services(func(x *cluster.ExternalService) {
				for i := range x.Spec.Ports {
					x.Spec.Ports[i].EndPort = nil
				}
			})
		}, false},
		{"L31", "sources about every node", func(x ownSpecs) {
			x.services(func(x *cluster.ExternalService) {
				for i := range x.Spec.Sources {
					x.Spec.Sources[i].NodeSelector = nil
				}
			})
		}, false},
		{"L31", "sources in another order", func(x ownSpecs) { x.services(func(x *cluster.ExternalService) { slices.Reverse(x.Spec.Sources) }) }, false},
		{"L31", "no sources", func(x ownSpecs) { x.services(func(x *cluster.ExternalService) { x.Spec.Sources = nil }) }, false},
		{"L31", "labels of every node are known", func(x ownSpecs) {
			for i := range x.s.Nodes {
				x.s.Nodes[i].Assumed = false
			}
		}, false},
		{"L32", "no firewall", func(x ownSpecs) { x.services(func(x *cluster.ExternalService) { x.Spec.Firewall = nil }) }, false},
		{"L32", "no private endpoints", func(x ownSpecs) { x.firewalls(func(f *v1alpha1.ExternalFirewall) { f.PrivateEndpoints = nil }) }, false},
		{"L32", "public access", func(x ownSpecs) {
			x.firewalls(func(f *v1alpha1.ExternalFirewall) { f.PublicNetworkAccess = v1alpha1.PublicEnabled })
		}, false},
		{"L32", "no IP rules", func(x ownSpecs) { x.firewalls(func(f *v1alpha1.ExternalFirewall) { f.IPRules = nil }) }, false},
		{"L32", "one IP rule only", func(x ownSpecs) {
			x.firewalls(func(f *v1alpha1.ExternalFirewall) { f.IPRules = f.IPRules[:min(1, len(f.IPRules))] })
		}, false},
		{"L32", "no subnet rules", func(x ownSpecs) { x.firewalls(func(f *v1alpha1.ExternalFirewall) { f.SubnetRules = nil }) }, false},
		{"L32", "Azure is not allowed", func(x ownSpecs) { x.firewalls(func(f *v1alpha1.ExternalFirewall) { f.AllowAzureServices = false }) }, false},
		{"L32", "no rule from 0.0.0.0 to 0.0.0.0", func(x ownSpecs) {
			x.firewalls(func(f *v1alpha1.ExternalFirewall) {
				f.IPRules = slices.DeleteFunc(f.IPRules, func(r v1alpha1.IPRule) bool { return r.Last == "0.0.0.0" })
			})
		}, false},
		{"L32", "Azure is allowed by a rule", func(x ownSpecs) {
			x.firewalls(func(f *v1alpha1.ExternalFirewall) {
				if f.AllowAzureServices {
					f.AllowAzureServices, f.IPRules = false, append(f.IPRules, v1alpha1.IPRule{First: "0.0.0.0", Last: "0.0.0.0"})
				}
			})
		}, true},
		{"L32", "subnets in capitals", func(x ownSpecs) {
			x.firewalls(func(f *v1alpha1.ExternalFirewall) {
				for i := range f.SubnetRules {
					f.SubnetRules[i].Subnet = strings.ToUpper(f.SubnetRules[i].Subnet)
				}
			})
		}, true},
		{"L33", "no resource", func(x ownSpecs) { x.authentications(func(a *v1alpha1.ExternalAuthentication) { a.Resource = "" }) }, false},
		{"L33", "one resource", func(x ownSpecs) {
			x.authentications(func(a *v1alpha1.ExternalAuthentication) { a.Resource = "https://vault.azure.net" })
		}, false},
		{"L34", "nothing is said of authentication", func(x ownSpecs) { x.services(func(x *cluster.ExternalService) { x.Spec.Authentication = nil }) }, false},
		{"L35", "passwords", func(x ownSpecs) {
			x.authentications(func(a *v1alpha1.ExternalAuthentication) { a.Mode = v1alpha1.IdentityOrPassword })
		}, false},
		{"L35", "no passwords", func(x ownSpecs) {
			x.authentications(func(a *v1alpha1.ExternalAuthentication) { a.Mode = v1alpha1.IdentityOnly })
		}, false},
		{"L35", "admitted are not known", func(x ownSpecs) { x.authentications(func(a *v1alpha1.ExternalAuthentication) { a.Admitted = nil }) }, false},
		{"L35", "nobody is admitted", func(x ownSpecs) {
			x.authentications(func(a *v1alpha1.ExternalAuthentication) { a.Admitted = []v1alpha1.AdmittedIdentity{} })
		}, false},
		{"L35", "no tenants", func(x ownSpecs) {
			x.admittedAzure(func(a *v1alpha1.AzureIdentity) { a.TenantID = "" })
		}, false},
		{"L35", "capitals", func(x ownSpecs) {
			x.admittedAzure(func(a *v1alpha1.AzureIdentity) {
				a.ClientID, a.TenantID = strings.ToUpper(a.ClientID), strings.ToUpper(a.TenantID)
			})
		}, true},
	}
}

func (x ownSpecs) admittedAzure(do func(*v1alpha1.AzureIdentity)) {
	x.authentications(func(a *v1alpha1.ExternalAuthentication) {
		for i := range a.Admitted {
			if a.Admitted[i].Azure != nil {
				do(a.Admitted[i].Azure)
			}
		}
	})
}

// TestLayeredRulesMatter: what each rule is about is drawn so often that answers hang on it, and two ways
// to say the same give the same answers.
func TestLayeredRulesMatter(t *testing.T) {
	changes := slices.Concat(identityChanges(), tokenChanges(), podIdentityChanges(), nodesIdentityChanges(), accessChanges(), serviceChanges())
	changed := make([]int, len(changes))
	cases := world.LayeredCases(layeredQuestions)
	for seed := range layeredWorlds {
		c := cases.Example(seed)
		s := c.World.Snapshot()
		for i, change := range changes {
			x := ownSpecs{c.World.Snapshot(), new(oracle.Options)}
			*x.o = c.Options
			change.do(x)
			for _, q := range c.Questions {
				if q.Service >= len(x.s.External) {
					continue
				}
				a, b := oracle.AskLayers(s, c.Options, q.Flow, q.Service), oracle.AskLayers(x.s, *x.o, q.Flow, q.Service)
				if a == b {
					continue
				}
				if changed[i]++; change.same {
					t.Fatalf("seed %d, %s, %s: %+v became %+v\n%#v", seed, change.rule, change.what, a, b, c)
				}
			}
		}
	}
	for i, change := range changes {
		t.Logf("%-4s %-36s %5d", change.rule, change.what, changed[i])
		if !change.same && changed[i] < enough {
			t.Errorf("%s, %s: only %d answers hang on it", change.rule, change.what, changed[i])
		}
	}
}

// TestLayeredQuestions: a service that is asked by name has the address and the port, and questions beside
// a service, at private endpoints and by address are drawn.
func TestLayeredQuestions(t *testing.T) {
	seen := map[string]int{}
	for seed := range layeredWorlds {
		c := world.LayeredCases(layeredQuestions).Example(seed)
		s := c.World.Snapshot()
		for _, q := range c.Questions {
			if q.Flow.To.Kind != flow.Address {
				if q.Service >= 0 {
					t.Fatalf("seed %d: a service at a pod or node", seed)
				}
				continue
			}
			several := 0
			for i := range s.External {
				address, private, port := hasAddress(&s.External[i], q.Flow), atEndpoint(&s.External[i], q.Flow), hasPort(&s.External[i], q.Flow)
				if i == q.Service && (!port || !address && !private && len(s.External[i].Spec.CIDRs) > 0) {
					t.Fatalf("seed %d: %+v is none of %s", seed, q, &s.External[i])
				}
				for what, is := range map[string]bool{"by name": i == q.Service, "by name, without cidrs": i == q.Service && !address && !private,
					"private, by name": i == q.Service && private, "private, by address": q.Service < 0 && private && port,
					"by address": q.Service < 0 && address && port, "port outside": q.Service < 0 && address && !port, "private and public": private && address} {
					if is {
						seen[what]++
					}
				}
				if q.Service < 0 && (address || private) && port {
					several++
				}
			}
			if several > 1 {
				seen["several by address"]++
			}
		}
	}
	for what, n := range seen {
		t.Logf("%-24s %5d", what, n)
		if n < enough {
			t.Errorf("%s: only %d", what, n)
		}
	}
	if len(seen) < 8 {
		t.Errorf("only %v", seen)
	}
}

// TestShuffleLayers: what has no order may stand in any order.
func TestShuffleLayers(t *testing.T) {
	cases := world.LayeredCases(6)
	rapid.Check(t, func(rt *rapid.T) {
		c := cases.Draw(rt, "case")
		other := world.Shuffle(c.World, rapid.Uint64().Draw(rt, "order")).Snapshot()
		s := c.World.Snapshot()
		for _, q := range c.Questions {
			was, now := oracle.AskLayers(s, c.Options, q.Flow, q.Service), oracle.AskLayers(other, c.Options, q.Flow, q.Service)
			if was != now {
				rt.Fatalf("%+v: was %+v, now %+v", q, was, now)
			}
		}
	})
}

// TestLayeredGoString: what rapid prints is the manifests and one line for each question.
func TestLayeredGoString(t *testing.T) {
	named := 0
	for seed := range 20 {
		c := world.LayeredCases(5).Example(seed)
		text := fmt.Sprintf("%#v", c)
		if !strings.HasPrefix(text, c.World.YAML()) || strings.Count(text, "\n? ") != len(c.Questions) {
			t.Errorf("not compact:\n%s", text)
		}
		named += strings.Count(text, " of blue/externalservice/")
	}
	if named == 0 {
		t.Error("no service is named")
	}
}
