package layers

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/policy"
)

// issuer is a WorkloadIdentity, compiled.
type issuer struct {
	*cluster.WorkloadIdentity
	pods    policy.Selector // unused where every pod is meant
	narrows bool
}

func newIssuer(w *cluster.WorkloadIdentity) issuer {
	out := issuer{WorkloadIdentity: w}
	if s := w.Spec.PodSelector; s != nil && len(w.NotUnderstood) == 0 {
		out.pods, out.narrows = policy.NewSelector(*s), true
	}
	return out
}

// concerns tells whether the WorkloadIdentity is about a pod (L4, L11).
func (w *issuer) concerns(p *cluster.Pod) bool {
	if w.Namespace != p.Namespace {
		return false
	}
	if vague := len(w.NotUnderstood) > 0; w.Spec.ServiceAccountName != p.Account && !(vague && w.Spec.ServiceAccountName == "") {
		return false
	}
	return !w.narrows || w.pods.Match(p.Labels, true) == policy.Yes
}

func (w *issuer) ref(path string) Ref {
	return Ref{Kind: "WorkloadIdentity", Namespace: w.Namespace, Name: w.Name, Path: path, Origin: w.Origin.At(path)}
}

// identity is what is issued to pods.
type identity struct {
	has    bool   // has an ID at all: a pod without hostNetwork does
	id     string // its SPIFFE ID, by its service account
	issued Answer // of the SPIFFE ID: Allow, Unknown or Deny
	why    Reason
	refs   []Ref
	azure  []azureGrant
	any    []anyGrant
}

// issues tells whether anything is issued, perhaps.
func (d *identity) issues() bool { return d.issued != Deny || len(d.azure)+len(d.any) > 0 }

// identify finds out for each pod what is issued to it. Pods for which that is the same share a number.
func (l *Model) identify() {
	l.who = make([]int32, len(l.snap.Pods))
	numbers := map[string]int32{}
	l.azure = newAzure(l.snap)
	byAccount := map[name][]int{} // without name: perhaps every account of the namespace (L4)
	for i := range l.issuers {
		w := name{l.issuers[i].Namespace, l.issuers[i].Spec.ServiceAccountName}
		byAccount[w] = append(byAccount[w], i)
	}
	for i := range l.snap.Pods {
		p := &l.snap.Pods[i]
		var about []int
		if !p.HostNetwork {
			for _, account := range slices.Compact([]string{p.Account, ""}) {
				for _, k := range byAccount[name{p.Namespace, account}] {
					if l.issuers[k].concerns(p) {
						about = append(about, k)
					}
				}
			}
			slices.Sort(about) // the order of the Snapshot
		}
		key := l.azure.key(p)
		if !p.HostNetwork || key != "" {
			key = fmt.Sprint(p.Namespace, "/", p.Account, about, p.HostNetwork, key)
		}
		n, ok := numbers[key]
		if !ok {
			n = int32(len(l.identities))
			numbers[key] = n
			l.identities = append(l.identities, l.identity(p, about))
		}
		l.who[i] = n
	}
}

// identity is L11 to L15.
func (l *Model) identity(p *cluster.Pod, about []int) identity {
	if p.HostNetwork {
		out := identity{issued: Deny, why: HostNetwork}
		l.azure.issue(p, &out)
		return out
	}
	out := identity{has: true, id: l.SPIFFEID(p.Namespace, p.Account), issued: Deny, why: NotIssued}
	l.azure.issue(p, &out)
	for _, k := range about {
		w := &l.issuers[k]
		sure := len(w.NotUnderstood) == 0
		if sure && *w.Spec.Require.NetworkEnforced && l.m.Options().Behaviour.NotEnforced {
			if out.issued == Deny {
				out.why, out.refs = NetworkNotEnforced, append(out.refs, w.ref("spec.require"))
			}
			continue
		}
		out.take(w, sure)
	}
	return out
}

// take adds what one WorkloadIdentity issues.
func (d *identity) take(w *issuer, sure bool) {
	switch {
	case sure && d.issued != Allow:
		d.issued, d.why, d.refs = Allow, Issued, []Ref{w.ref("")}
	case sure:
		d.refs = append(d.refs, w.ref(""))
	case d.issued == Deny:
		d.issued, d.why, d.refs = Unknown, NotUnderstood, []Ref{w.ref("")}
	}
	if !sure {
		d.any = append(d.any, anyGrant{NotUnderstood, w.ref("")})
		return
	}
	for i := range w.Spec.ExternalIdentities {
		if a := w.Spec.ExternalIdentities[i].Azure; a != nil {
			d.azure = append(d.azure, azureGrant{a.AzureIdentity, a.Resources, []Ref{w.ref(fmt.Sprintf("spec.externalIdentities[%d]", i))}})
		}
	}
}

// SPIFFEID gives the ID of a service account of this cluster (L10).
func (l *Model) SPIFFEID(namespace, account string) string {
	return "spiffe://" + l.trust + "/ns/" + namespace + "/sa/" + account
}

// trustDomainOf gives the trust domain of a SPIFFE ID or of the beginning of one.
func trustDomainOf(id string) string {
	domain, _, _ := strings.Cut(strings.TrimPrefix(id, "spiffe://"), "/")
	return domain
}
