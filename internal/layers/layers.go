// Package layers reasons over everything that a connection must pass: the network policies at both ends, the
// firewall of a service outside the cluster, the identity that is issued to the source, the access policy of the
// destination, and what the service outside takes as proof (docs/layers.md).
//
// It is pure. It must never decide what network policies say (package eval does), and never render.
package layers

import (
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// Answer is what one layer says by itself. The order is that of L30: the greater admits less.
type Answer uint8

// The answers.
const (
	None    Answer = iota // has no opinion
	Allow                 // admits
	Unknown               // cannot be told
	Deny                  // stops it
)

// String gives the word of the page.
func (a Answer) String() string { return [...]string{"none", "allow", "unknown", "deny"}[a] }

// MarshalText gives String.
func (a Answer) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// verdict is the answer as part of the whole (L41).
func (a Answer) verdict() flow.Verdict {
	switch a {
	case Deny:
		return flow.Denied
	case Unknown:
		return flow.Unknown
	}
	return flow.Allowed
}

// Layer is one of the six, in the order in which a connection meets them.
type Layer uint8

// The layers.
const (
	NetworkEgress Layer = iota
	NetworkIngress
	ExternalFirewall
	IdentityIssued
	AccessPolicy
	ExternalAuthentication
	Count = iota
)

// String gives the words of the page.
func (l Layer) String() string {
	return [...]string{"network egress", "network ingress", "external firewall", "identity issued", "access policy", "external authentication"}[l]
}

// MarshalText gives String.
func (l Layer) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Gate is a group of layers that one failure passes together (L42).
type Gate uint8

// The gates.
const (
	GateEgress Gate = iota
	GateIngress
	GateFirewall
	GateIdentity
)

// String gives a word for people.
func (g Gate) String() string {
	return [...]string{"network egress", "network ingress", "external firewall", "identity"}[g]
}

// MarshalText gives String.
func (g Gate) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// Gate gives the gate that a layer belongs to.
func (l Layer) Gate() Gate { return min(Gate(l), GateIdentity) }

// Step is the answer of one layer and its why.
type Step struct {
	Layer  Layer
	Answer Answer
	Reason Reason
	// Refs are the objects, or parts of them, that decided; empty where none did.
	Refs []Ref
	// Unenforced: the layer would deny, but nobody is known to enforce it (L23, L26).
	Unenforced bool
}

// Ref names an object, or a part of one, that decided.
type Ref struct {
	Kind, Namespace, Name string // the kind as manifests spell it
	Path                  string // the part of the object; empty for all of it
	Origin                cluster.Origin
}

// String gives "Kind ns/name path".
func (r Ref) String() string {
	s := r.Kind + " "
	if r.Namespace != "" {
		s += r.Namespace + "/"
	}
	s += r.Name
	if r.Path != "" {
		s += " " + r.Path
	}
	return s
}

// Decision is what all layers say of one flow.
type Decision struct {
	Steps   [Count]Step
	Verdict flow.Verdict // L41
	// Services are the services that the flow may be to, by index in the Snapshot (L30).
	Services []int
	// Audit are the policies with mode Audit that would have a say, with what they would do (L25).
	Audit []Audited
}

// Audited is what a policy with mode Audit would do.
type Audited struct {
	Policy Ref
	Answer Answer // Allow or Deny
}

// Blockers lists the layers that deny (L42).
func (d *Decision) Blockers() []Layer {
	var out []Layer
	for _, s := range d.Steps {
		if s.Answer == Deny {
			out = append(out, s.Layer)
		}
	}
	return out
}

// Gates lists the gates that deny (L42).
func (d *Decision) Gates() []Gate {
	var out []Gate
	for _, l := range d.Blockers() {
		if g := l.Gate(); len(out) == 0 || out[len(out)-1] != g {
			out = append(out, g)
		}
	}
	return out
}

// Could tells who could reach: unknown counts as allow (L41).
func (d *Decision) Could() bool { return d.Verdict != flow.Denied }

// Works tells whether it will surely work: unknown counts as deny (L41).
func (d *Decision) Works() bool { return d.Verdict == flow.Allowed }

// Reason is why a layer answers as it does.
type Reason uint8

// The reasons. Those of the network layers are ByPolicies and ByProjection: the rest is in eval.Direction.
const (
	ByPolicies           Reason = iota + 1 // network policies decide, or want of them
	ByProjection                           // an AccessPolicy projected into the network decides (L24)
	OwnNodeUnknown                         // it is not known whether the projection exempts it (L24)
	NotRead                                // a file or a kind of object could not be read (L3)
	NotUnderstood                          // an object of a server is not fully understood (L4)
	NoService                              // no service, and no pod with an access policy, is at this address
	NoFirewall                             // nothing is known of a firewall
	AtPrivateEndpoint                      // which no rule closes
	PublicAccessDisabled                   // the public addresses do not answer
	SubnetRule                             // admits the subnet
	IPRule                                 // admits the address
	AzureServices                          // whatever runs in Azure is admitted
	NoRuleAdmits                           // no rule of the firewall admits the source
	SourceUnknown                          // as what the source appears is not known, or is one of several
	NothingAsked                           // no access policy and no authentication asks for an identity
	Issued                                 // a WorkloadIdentity issues it
	NotIssued                              // no WorkloadIdentity issues it
	HostNetwork                            // a pod with hostNetwork is issued nothing (L12)
	NoWorkload                             // a node or an address is issued nothing (L12)
	NetworkNotEnforced                     // a WorkloadIdentity asks for an enforced network, and there is none (L12)
	ForeignIdentity                        // an address may hold an identity of another trust domain (L22)
	Password                               // a password is taken in its place
	NoAccessPolicy                         // none names this target
	AllowRule                              // an Allow rule matches
	DenyRule                               // a Deny rule matches
	NoRuleMatches                          // no rule matches
	NothingSaid                            // nothing is known of the service's authentication
	Admitted                               // the identity is admitted
	NotAdmitted                            // it is not
	AdmittedUnknown                        // whom the service admits is not known
	NoIdentity                             // the source has no identity that counts there
	ServiceUnknown                         // it is not known which of several services is meant (L30)
	AccountUnnamed                         // its account has a token that Entra takes, and for which identities is not in the input (L13)
	NodeIdentity                           // it is given what its node has (L15)
)

// String gives the reason as one word, as JSON has it.
func (r Reason) String() string {
	return [...]string{"", "network-policies", "projection", "own-node-unknown", "not-read", "not-understood", "no-service", "no-firewall",
		"private-endpoint", "public-access-disabled", "subnet-rule", "ip-rule", "azure-services", "no-rule-admits", "source-unknown",
		"nothing-asked", "issued", "not-issued", "host-network", "no-workload", "network-not-enforced", "foreign-identity", "password",
		"no-access-policy", "allow-rule", "deny-rule", "no-rule-matches", "nothing-said", "admitted", "not-admitted",
		"admitted-unknown", "no-identity", "service-unknown", "account-unnamed", "node-identity"}[r]
}

// MarshalText gives String.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
