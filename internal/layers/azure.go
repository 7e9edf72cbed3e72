package layers

import (
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
)

// name is a namespace and the name of something in it.
type name struct{ namespace, name string }

// azure finds what Azure's own products issue to pods (L13 to L15).
type azure struct {
	snap       *cluster.Snapshot
	accounts   map[name]*cluster.ServiceAccount
	identities map[name]*cluster.AzureIdentity
	bindings   map[string][]int   // by the label's value, indices in the Snapshot
	exceptions map[string][]int   // by namespace, indices in the Snapshot
	byLabel    map[name]*identity // what bindings give, by namespace and the label's value; see bound
}

func newAzure(s *cluster.Snapshot) *azure {
	a := &azure{snap: s, accounts: map[name]*cluster.ServiceAccount{}, identities: map[name]*cluster.AzureIdentity{},
		bindings: map[string][]int{}, exceptions: map[string][]int{}, byLabel: map[name]*identity{}}
	for i := range s.Accounts {
		x := &s.Accounts[i]
		a.accounts[name{x.Namespace, x.Name}] = x
	}
	for i := range s.AzureIdentities {
		x := &s.AzureIdentities[i]
		a.identities[name{x.Namespace, x.Name}] = x
	}
	for i := range s.AzureBindings {
		a.bindings[s.AzureBindings[i].Selector] = append(a.bindings[s.AzureBindings[i].Selector], i)
	}
	for i := range s.AzureExceptions {
		a.exceptions[s.AzureExceptions[i].Namespace] = append(a.exceptions[s.AzureExceptions[i].Namespace], i)
	}
	return a
}

// azureGrant is an Azure identity that is issued.
type azureGrant struct {
	v1alpha1.AzureIdentity
	resources []string // nil: every one
	refs      []Ref
}

func (g *azureGrant) serves(resource string) bool {
	return g.resources == nil || slices.ContainsFunc(g.resources, func(r string) bool { return sameResource(r, resource) })
}

// anyGrant is perhaps any Azure identity for any resource.
type anyGrant struct {
	why Reason
	ref Ref
}

// key is the same for pods of one account to which the same is issued. It is asked of every pod, and makes no grants.
func (a *azure) key(p *cluster.Pod) (key string) {
	if p.EntraToken {
		key = "entra"
	}
	if i := a.excepting(p); i >= 0 {
		key += " except " + a.snap.AzureExceptions[i].Name
	} else if value := p.Labels[cluster.BindingLabel]; !p.HostNetwork && value != "" && len(a.bindings[value]) > 0 {
		key += " bound " + value
	}
	return key
}

// issue adds what a pod is issued.
func (a *azure) issue(p *cluster.Pod, to *identity) {
	if p.EntraToken {
		a.entra(p, to)
	}
	switch i := a.excepting(p); {
	case i >= 0:
		to.any = append(to.any, anyGrant{NodeIdentity, exceptionRef(&a.snap.AzureExceptions[i], "spec.podLabels")})
	case p.HostNetwork:
		a.node(to)
	default:
		a.bound(p, to)
	}
}

// entra is L13.
func (a *azure) entra(p *cluster.Pod, to *identity) {
	ref := Ref{Kind: "ServiceAccount", Namespace: p.Namespace, Name: p.Account}
	x := a.accounts[name{p.Namespace, p.Account}]
	if x == nil || x.EntraClient == nil {
		if x != nil {
			ref.Origin = x.Origin
		}
		to.any = append(to.any, anyGrant{AccountUnnamed, ref})
		return
	}
	ref.Origin, ref.Path = x.Origin, "metadata.annotations"
	tenant := ""
	if x.EntraTenant != nil {
		tenant = *x.EntraTenant
	}
	if !isUUID(*x.EntraClient) || x.EntraTenant != nil && !isUUID(tenant) {
		to.any = append(to.any, anyGrant{NotUnderstood, ref})
		return
	}
	to.azure = append(to.azure, azureGrant{v1alpha1.AzureIdentity{ClientID: *x.EntraClient, TenantID: tenant}, nil, []Ref{ref}})
	to.any = append(to.any, anyGrant{AccountUnnamed, ref}) // the pod may ask for another one
}

// bound is L14. The label alone decides in a namespace, so that its pods share the grants, of whatever account they are.
func (a *azure) bound(p *cluster.Pod, to *identity) {
	value := p.Labels[cluster.BindingLabel]
	if value == "" || len(a.bindings[value]) == 0 {
		return
	}
	at := name{p.Namespace, value}
	got := a.byLabel[at]
	if got == nil {
		got = &identity{}
		for _, i := range a.bindings[value] {
			a.bind(p, &a.snap.AzureBindings[i], got)
		}
		a.byLabel[at] = got
	}
	to.azure, to.any = joined(to.azure, got.azure), joined(to.any, got.any)
}

// joined puts one list behind another, and copies neither where the other is empty.
func joined[T any](list, more []T) []T {
	if len(list) == 0 {
		return slices.Clip(more)
	}
	return append(list, more...)
}

// bind adds what one binding gives to a pod with its label.
func (a *azure) bind(p *cluster.Pod, b *cluster.AzureIdentityBinding, to *identity) {
	x := a.given(p, b)
	if x == nil {
		return
	}
	by := []Ref{{Kind: "AzureIdentityBinding", Namespace: b.Namespace, Name: b.Name, Origin: b.Origin},
		{Kind: "AzureIdentity", Namespace: x.Namespace, Name: x.Name, Origin: x.Origin}}
	g := azureGrant{v1alpha1.AzureIdentity{ClientID: x.ClientID}, nil, by}
	if x.Type == 1 || x.Type == 2 {
		g.TenantID = x.TenantID
	}
	if x.Type < 0 || x.Type > 2 || !isUUID(g.ClientID) || g.TenantID != "" && !isUUID(g.TenantID) {
		by[1].Path, by[1].Origin = "spec", x.Origin.At("spec")
		to.any = append(to.any, anyGrant{NotUnderstood, by[1]})
		return
	}
	to.azure = append(to.azure, g)
}

// given finds the identity that a binding gives to a pod with its label; nil if it gives none.
func (a *azure) given(p *cluster.Pod, b *cluster.AzureIdentityBinding) *cluster.AzureIdentity {
	x := a.identities[name{b.Namespace, b.Identity}]
	if x == nil || p.Namespace != x.Namespace && (x.Namespaced || a.snap.Facts.PodIdentityAddOn) {
		return nil
	}
	return x
}

// BoundAnywhere tells whether some Azure identity goes to pods of any namespace by a label (L14).
func (l *Model) BoundAnywhere() bool {
	return !l.snap.Facts.PodIdentityAddOn && slices.ContainsFunc(l.snap.AzureBindings, func(b cluster.AzureIdentityBinding) bool {
		x := l.azure.identities[name{b.Namespace, b.Identity}]
		return b.Selector != "" && x != nil && !x.Namespaced
	})
}

// excepting gives the first exception, by its index in the Snapshot, that names one of the pod's labels (L15); or -1.
func (a *azure) excepting(p *cluster.Pod) int {
	for _, i := range a.exceptions[p.Namespace] {
		for k, v := range a.snap.AzureExceptions[i].PodLabels {
			if excepts(p, k, v) {
				return i
			}
		}
	}
	return -1
}

// excepts tells whether a label of an exception names a pod (L15).
func excepts(p *cluster.Pod, key, value string) bool {
	got, ok := p.Labels[key]
	return ok && strings.EqualFold(got, value)
}

func exceptionRef(x *cluster.AzurePodIdentityException, path string) Ref {
	return Ref{Kind: "AzurePodIdentityException", Namespace: x.Namespace, Name: x.Name, Path: path, Origin: x.Origin.At(path)}
}

// node adds what nodes have (L15).
func (a *azure) node(to *identity) {
	if len(a.snap.AzureIdentities) > 0 {
		x := &a.snap.AzureIdentities[0]
		to.any = append(to.any, anyGrant{NodeIdentity, Ref{Kind: "AzureIdentity", Namespace: x.Namespace, Name: x.Name, Origin: x.Origin}})
	}
}

func isUUID(s string) bool { return cluster.UUID.MatchString(s) }
