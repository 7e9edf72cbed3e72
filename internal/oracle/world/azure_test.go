package world_test

import (
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/oracle"
	"sallyport.dev/sallyport/internal/oracle/world"
)

func (x ownSpecs) accounts(do func(*cluster.ServiceAccount)) {
	for i := range x.s.Accounts {
		do(&x.s.Accounts[i])
	}
}

func (x ownSpecs) pods(do func(*cluster.Pod)) {
	for i := range x.s.Pods {
		do(&x.s.Pods[i])
	}
}

func (x ownSpecs) azureIdentities(do func(*cluster.AzureIdentity)) {
	for i := range x.s.AzureIdentities {
		do(&x.s.AzureIdentities[i])
	}
}

func (x ownSpecs) bindings(do func(*cluster.AzureIdentityBinding)) {
	for i := range x.s.AzureBindings {
		do(&x.s.AzureBindings[i])
	}
}

func (x ownSpecs) exceptions(do func(*cluster.AzurePodIdentityException)) {
	for i := range x.s.AzureExceptions {
		do(&x.s.AzureExceptions[i])
	}
}

// bindingLabel puts another map with another value in the place of a pod's labels.
func bindingLabel(p *cluster.Pod, value string) {
	labels := map[string]string{cluster.BindingLabel: value}
	for k, v := range p.Labels {
		if k != cluster.BindingLabel {
			labels[k] = v
		}
	}
	p.Labels = labels
}

const (
	aClient  = "0a000000-0000-0000-0000-000000000001"
	aTenant  = "0b000000-0000-0000-0000-000000000002"
	notAUUID = "0a000000-0000-0000-0000-00000000000"
)

func tokenChanges() []change {
	client := func(what string, to *string, same bool) change {
		return change{"L13", what, func(x ownSpecs) {
			x.accounts(func(a *cluster.ServiceAccount) {
				if a.EntraClient != nil {
					a.EntraClient = to
				}
			})
		}, same}
	}
	one, wrong := aClient, notAUUID
	return []change{
		{"L13", "no tokens", func(x ownSpecs) { x.pods(func(p *cluster.Pod) { p.EntraToken = false }) }, false},
		{"L13", "every pod has a token", func(x ownSpecs) {
			if len(x.s.Accounts) > 0 {
				x.pods(func(p *cluster.Pod) { p.EntraToken = true })
			}
		}, false},
		{"L13", "no accounts", func(x ownSpecs) { x.s.Accounts = nil }, false},
		{"L13", "accounts of another namespace", func(x ownSpecs) { x.accounts(func(a *cluster.ServiceAccount) { a.Namespace = "other" }) }, false},
		client("one client for all", &one, false),
		client("no client for anybody", nil, false),
		client("every client is no UUID", &wrong, false),
		{"L13", "no tenants", func(x ownSpecs) { x.accounts(func(a *cluster.ServiceAccount) { a.EntraTenant = nil }) }, false},
		{"L13", "one tenant for all", func(x ownSpecs) {
			tenant := aTenant
			x.accounts(func(a *cluster.ServiceAccount) { a.EntraTenant = &tenant })
		}, false},
		{"L13", "every tenant is no UUID", func(x ownSpecs) {
			x.accounts(func(a *cluster.ServiceAccount) { a.EntraTenant = &wrong })
		}, false},
		{"L13", "no UUID is as good as no annotation", func(x ownSpecs) {
			x.accounts(func(a *cluster.ServiceAccount) {
				if a.EntraClient == nil {
					a.EntraClient = &wrong
				}
			})
		}, true},
		{"L13", "tokens of hostNetwork pods are none", func(x ownSpecs) {
			x.pods(func(p *cluster.Pod) { p.EntraToken = p.EntraToken && !p.HostNetwork })
		}, false},
		{"L35", "capitals at accounts", func(x ownSpecs) {
			x.accounts(func(a *cluster.ServiceAccount) {
				for _, id := range []**string{&a.EntraClient, &a.EntraTenant} {
					if *id != nil {
						upper := strings.ToUpper(**id)
						*id = &upper
					}
				}
			})
		}, true},
	}
}

func podIdentityChanges() []change {
	return []change{
		{"L14", "no bindings", func(x ownSpecs) { x.s.AzureBindings = nil }, false},
		{"L14", "one binding", func(x ownSpecs) { x.s.AzureBindings = x.s.AzureBindings[:min(1, len(x.s.AzureBindings))] }, false},
		{"L14", "bindings of another namespace", func(x ownSpecs) { x.bindings(func(b *cluster.AzureIdentityBinding) { b.Namespace = "other" }) }, false},
		{"L14", "bindings of what is not there", func(x ownSpecs) { x.bindings(func(b *cluster.AzureIdentityBinding) { b.Identity = "none" }) }, false},
		{"L14", "bindings in capitals", func(x ownSpecs) {
			x.bindings(func(b *cluster.AzureIdentityBinding) { b.Selector = strings.ToUpper(b.Selector) })
		}, false},
		{"L14", "bindings that select nothing are gone", func(x ownSpecs) {
			x.s.AzureBindings = slices.DeleteFunc(x.s.AzureBindings, func(b cluster.AzureIdentityBinding) bool { return b.Selector == "" })
		}, true},
		{"L14", "no label", func(x ownSpecs) { x.pods(func(p *cluster.Pod) { bindingLabel(p, "") }) }, false},
		{"L14", "one label for all", func(x ownSpecs) {
			if len(x.s.AzureBindings) > 0 {
				x.pods(func(p *cluster.Pod) { bindingLabel(p, "one") })
			}
		}, false},
		{"L14", "every identity is namespaced", func(x ownSpecs) {
			x.azureIdentities(func(a *cluster.AzureIdentity) { a.Namespaced = true })
		}, false},
		{"L14", "no identity is namespaced", func(x ownSpecs) {
			x.azureIdentities(func(a *cluster.AzureIdentity) { a.Namespaced = false })
		}, false},
		{"L14", "the add-on is on", func(x ownSpecs) { x.s.Facts.PodIdentityAddOn = true }, false},
		{"L14", "the add-on is off", func(x ownSpecs) { x.s.Facts.PodIdentityAddOn = false }, false},
		{"L14", "the add-on is the annotation", func(x ownSpecs) {
			if x.s.Facts.PodIdentityAddOn {
				x.s.Facts.PodIdentityAddOn = false
				x.azureIdentities(func(a *cluster.AzureIdentity) { a.Namespaced = true })
			}
		}, true},
		{"L14", "managed identities", func(x ownSpecs) { x.azureIdentities(func(a *cluster.AzureIdentity) { a.Type = 0 }) }, false},
		{"L14", "service principals", func(x ownSpecs) { x.azureIdentities(func(a *cluster.AzureIdentity) { a.Type = 1 }) }, false},
		{"L14", "types that are not known", func(x ownSpecs) { x.azureIdentities(func(a *cluster.AzureIdentity) { a.Type += 3 }) }, false},
		{"L14", "one kind of principal", func(x ownSpecs) {
			x.azureIdentities(func(a *cluster.AzureIdentity) {
				if a.Type == 2 {
					a.Type = 1
				}
			})
		}, true},
		{"L14", "managed identities without tenant", func(x ownSpecs) {
			x.azureIdentities(func(a *cluster.AzureIdentity) {
				if a.Type == 0 {
					a.TenantID = ""
				}
			})
		}, true},
		{"L14", "no tenants", func(x ownSpecs) { x.azureIdentities(func(a *cluster.AzureIdentity) { a.TenantID = "" }) }, false},
		{"L14", "every tenant is no UUID", func(x ownSpecs) { x.azureIdentities(func(a *cluster.AzureIdentity) { a.TenantID = notAUUID }) }, false},
		{"L14", "one client", func(x ownSpecs) { x.azureIdentities(func(a *cluster.AzureIdentity) { a.ClientID = aClient }) }, false},
		{"L14", "every client is no UUID", func(x ownSpecs) { x.azureIdentities(func(a *cluster.AzureIdentity) { a.ClientID = notAUUID }) }, false},
		{"L35", "capitals at identities", func(x ownSpecs) {
			x.azureIdentities(func(a *cluster.AzureIdentity) {
				a.ClientID, a.TenantID = strings.ToUpper(a.ClientID), strings.ToUpper(a.TenantID)
			})
		}, true},
	}
}

func nodesIdentityChanges() []change {
	return []change{
		{"L15", "no exceptions", func(x ownSpecs) { x.s.AzureExceptions = nil }, false},
		{"L15", "exceptions of another namespace", func(x ownSpecs) {
			x.exceptions(func(e *cluster.AzurePodIdentityException) { e.Namespace = "other" })
		}, false},
		{"L15", "exceptions in capitals", func(x ownSpecs) {
			x.exceptions(func(e *cluster.AzurePodIdentityException) {
				for k, v := range e.PodLabels {
					e.PodLabels[k] = strings.ToUpper(v)
				}
			})
		}, true},
		{"L15", "exceptions that name keys in lower case", func(x ownSpecs) {
			x.exceptions(func(e *cluster.AzurePodIdentityException) {
				lower := map[string]string{}
				for k, v := range e.PodLabels {
					lower[strings.ToLower(k)] = v
				}
				e.PodLabels = lower
			})
		}, false},
		{"L15", "exceptions of one label only", func(x ownSpecs) {
			x.s.AzureExceptions = slices.DeleteFunc(x.s.AzureExceptions, func(e cluster.AzurePodIdentityException) bool { return len(e.PodLabels) > 1 })
		}, false},
		{"L15", "one exception for each label", func(x ownSpecs) {
			var out []cluster.AzurePodIdentityException
			x.exceptions(func(e *cluster.AzurePodIdentityException) {
				for k, v := range e.PodLabels {
					out = append(out, cluster.AzurePodIdentityException{Namespace: e.Namespace, Name: e.Name + k, PodLabels: map[string]string{k: v}})
				}
			})
			x.s.AzureExceptions = out
		}, true},
		{"L15", "no identities", func(x ownSpecs) { x.s.AzureIdentities = nil }, false},
		{"L15", "an identity that nobody is bound to", func(x ownSpecs) {
			x.s.AzureIdentities = append(x.s.AzureIdentities, cluster.AzureIdentity{Namespace: "other", Name: "other"})
		}, false},
	}
}

// TestAzureOutsideLayers: what Azure issues is nothing where layers do not speak (L1), and no answer about a pod
// or node hangs on it.
func TestAzureOutsideLayers(t *testing.T) {
	cases := world.LayeredCases(layeredQuestions)
	asked := 0
	for seed := range layeredWorlds / 5 {
		c := cases.Example(seed)
		without := c.World
		without.Azure = world.Azure{}
		s, other := c.World.Snapshot(), without.Snapshot()
		if len(s.Accounts)+len(s.AzureIdentities) == 0 {
			continue
		}
		for _, q := range c.Questions {
			if q.Service >= 0 || q.Flow.To.Addr.IsValid() && len(s.External) > 0 {
				continue
			}
			asked++
			if a, b := oracle.AskLayers(s, c.Options, q.Flow, -1), oracle.AskLayers(other, c.Options, q.Flow, -1); a != b {
				t.Fatalf("seed %d: %+v and %+v\n%#v", seed, a, b, c)
			}
		}
	}
	if asked < enough {
		t.Errorf("only %d questions", asked)
	}
}

// TestTokens: who has a token that Entra takes (L13), of a file, of a server, and as a template.
func TestTokens(t *testing.T) {
	projected := func(audiences ...string) (v corev1.Volume) {
		v.Projected = &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{}}}}
		for _, a := range audiences {
			v.Projected.Sources = append(v.Projected.Sources, corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: a}})
		}
		return v
	}
	for _, c := range []struct {
		label                  string
		volume                 corev1.Volume
		file, server, template bool
	}{
		{"", corev1.Volume{}, false, false, false},
		{"true", corev1.Volume{}, true, false, true},
		{"True", corev1.Volume{}, false, false, false},
		{"false", projected("api://AzureADTokenExchange"), true, true, true},
		{"", projected("vault", "api://AzureADTokenExchangeUSGov"), true, true, true},
		{"", projected("vault", ""), false, false, false},
		{"", projected("api://azureadtokenexchange"), false, false, false},
		{"true", projected("vault"), true, false, true},
	} {
		labels := map[string]string{cluster.EntraLabel: c.label}
		var pod corev1.Pod
		pod.Name, pod.Labels, pod.Spec.Volumes = "p", labels, []corev1.Volume{c.volume}
		var d appsv1.Deployment
		d.Name, d.Spec.Template.Labels, d.Spec.Template.Spec = "d", labels, pod.Spec
		w := world.World{Pods: []corev1.Pod{pod}, Deployments: []appsv1.Deployment{d}}
		var got [3]bool // of a file, a server, a template
		for _, p := range w.Snapshot().Pods {
			got[map[bool]int{false: 0, true: 2}[p.Template]] = p.EntraToken
		}
		w.Unreadable = []cluster.Unreadable{{Why: "a server says so"}}
		for _, p := range w.Snapshot().Pods {
			if !p.Template {
				got[1] = p.EntraToken
			} else if p.EntraToken != c.template {
				t.Errorf("%+v: a template of a server: %t", c, p.EntraToken)
			}
		}
		if want := [3]bool{c.file, c.server, c.template}; got != want {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}
