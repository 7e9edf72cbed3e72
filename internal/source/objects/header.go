package objects

import (
	"encoding/json"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
)

// Header is what a source knows of a cluster beside its objects. A saved snapshot begins with it.
type Header struct {
	Revision string
	Facts    cluster.Facts
	// Unreadable says what could not be read and may hold a policy, in words that name it (S2).
	Unreadable []string
	// UnreadableForeign says the same of policies of other engines (S33).
	UnreadableForeign []string
	// UnreadableLayers says the same of what is said of identities and of what lies outside (L3).
	UnreadableLayers []string
	// Incomplete says which objects that are no policies are missing, and what follows.
	Incomplete []string
	// PoliciesOf names, for each source that could read one namespace only, the one whose
	// NetworkPolicies are there. Of pods elsewhere it is not known what decides about them.
	PoliciesOf []string
	// Notes are what people should know of how the cluster was read.
	Notes []string
}

// AddHeader adds what a server says of the cluster as a whole, in the lowest layer.
func (b *Builder) AddHeader(h Header) {
	data, _ := json.Marshal(h.object()) // strings only: it cannot fail
	b.Add(Doc{JSON: data, FromServer: true})
}

func (h *Header) object() *headerObject {
	o := &headerObject{Revision: h.Revision, KubeVersion: h.Facts.KubeVersion, Plugin: h.Facts.Plugin, TrustDomain: h.Facts.TrustDomain, PodIdentityAddOn: h.Facts.PodIdentityAddOn,
		Unreadable: h.Unreadable, UnreadableForeign: h.UnreadableForeign, UnreadableLayers: h.UnreadableLayers, Incomplete: h.Incomplete,
		PoliciesOf: h.PoliciesOf, Notes: h.Notes}
	o.typeMeta = typeMeta{APIVersion: groupOwn + "/v1alpha1", Kind: "Snapshot"}
	for _, p := range h.Facts.PodCIDRs {
		o.PodCIDRs = append(o.PodCIDRs, p.String())
	}
	return o
}

// addHeader takes a header; two of them in one layer must say the same.
func (b *Builder) addHeader(it *item) {
	i, found := slices.BinarySearchFunc(b.headers, it, func(have, it *item) int { return have.layer - it.layer })
	switch {
	case !found:
		b.headers = slices.Insert(b.headers, i, it)
	case b.headers[i].hash != it.hash:
		first, second := b.headers[i], it
		if compareOrigin(first.origin, second.origin) > 0 {
			first, second = second, first
		}
		b.errors = append(b.errors, twice(it.key, first, second))
	case compareOrigin(it.origin, b.headers[i].origin) < 0:
		b.headers[i] = it
	}
}

// readHeaders takes the facts of the headers, lowest layer first; what one of them could not read
// stays unread.
func (a *assembly) readHeaders() {
	for _, it := range a.b.headers {
		o := it.slim.(*headerObject)
		lay(&a.s.Revision, o.Revision)
		lay(&a.s.Facts.KubeVersion, o.KubeVersion)
		lay(&a.s.Facts.Plugin, o.Plugin)
		lay(&a.s.Facts.TrustDomain, o.TrustDomain)
		a.s.Facts.PodIdentityAddOn = a.s.Facts.PodIdentityAddOn || o.PodIdentityAddOn
		for i, s := range o.PodCIDRs {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				it.problems = append(it.problems, badValue(indexPath("podCIDRs", i), s, "a CIDR"))
				continue
			}
			a.s.Facts.PodCIDRs = append(a.s.Facts.PodCIDRs, p.Masked())
		}
		for missing, list := range [...][]string{cluster.MissingPolicies: o.Unreadable, cluster.MissingForeign: o.UnreadableForeign,
			cluster.MissingLayers: o.UnreadableLayers, cluster.MissingObjects: o.Incomplete} {
			for _, why := range list { // says its place itself
				a.s.Unreadable = append(a.s.Unreadable, cluster.Unreadable{Why: why, Missing: cluster.Missing(missing)})
			}
		}
		for _, namespace := range o.PoliciesOf {
			a.s.Unreadable = append(a.s.Unreadable, cluster.Unreadable{Why: "NetworkPolicies of other namespaces than " + namespace, Beyond: namespace})
		}
		for _, text := range o.Notes {
			a.s.Notes = append(a.s.Notes, cluster.Note{Text: text})
		}
		a.b.report(it)
	}
}

// lay lets a value that says something lie over another.
func lay(under *string, over string) {
	if over != "" {
		*under = over
	}
}

// headerOf gives the header of a snapshot that is saved.
func (b *Builder) headerOf(s *cluster.Snapshot) []byte {
	h := Header{Revision: s.Revision, Facts: s.Facts}
	for _, u := range s.Unreadable {
		if u.Beyond != "" {
			h.PoliciesOf = append(h.PoliciesOf, u.Beyond)
			continue
		}
		e := InputError{Origin: u.Origin, Problem: u.Why}
		list := map[cluster.Missing]*[]string{cluster.MissingPolicies: &h.Unreadable, cluster.MissingForeign: &h.UnreadableForeign, cluster.MissingLayers: &h.UnreadableLayers,
			cluster.MissingObjects: &h.Incomplete}[u.Missing]
		*list = append(*list, e.Error())
	}
	for _, it := range b.headers {
		h.Notes = append(h.Notes, it.slim.(*headerObject).Notes...)
	}
	out, _ := json.Marshal(h.object()) // strings only: it cannot fail
	return out
}
