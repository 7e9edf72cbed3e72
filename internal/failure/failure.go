// Package failure finds out what stands between two ends when something fails: which single failures, and which pairs
// of them, open a connection that is stopped now (docs/layers.md, L50 to L56).
//
// It is pure. Every claim is made by applying the failures and deciding the connection again, never by reasoning about
// them. It must never render, and never claim that a failure is likely.
package failure

import "sallyport.dev/sallyport/internal/cluster"

// Kind is what fails (L50).
type Kind uint8

// The kinds of failure.
const (
	AgentDown       Kind = iota + 1 // nothing enforces the network at one end
	NotProgrammed                   // the policies of a pod are not in force yet
	PolicyDeleted                   // a network policy or an AccessPolicy is gone
	LabelGone                       // a label of a namespace is gone
	FirewallOpened                  // the firewall of a service outside admits everything
	PasswordLogin                   // a service outside takes passwords
	TokenStolen                     // the source holds the identity of another account
	NodeCompromised                 // the source is root on its node, and so every pod there
)

// String gives the kind as one word, as JSON has it.
func (k Kind) String() string {
	return [...]string{"", "agent-down", "policy-not-programmed", "policy-deleted", "namespace-label-gone", "external-firewall-opened",
		"password-login", "token-stolen", "node-compromised"}[k]
}

// MarshalText gives String.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Side is the end that a failure is at.
type Side uint8

// The sides.
const (
	AtSource Side = iota + 1
	AtDestination
)

// String gives a word for people.
func (s Side) String() string { return [...]string{"", "source", "destination"}[s] }

// Failure is one thing that fails. It is comparable. Which fields are set depends on Kind.
type Failure struct {
	Kind      Kind
	Side      Side              // AgentDown, NotProgrammed
	Policy    cluster.PolicyRef // PolicyDeleted
	Namespace string            // LabelGone; of the account for TokenStolen
	Label     string            // LabelGone: its key
	Service   int               // FirewallOpened, PasswordLogin: index in Snapshot.External plus one
	Account   string            // TokenStolen
}

// apply gives the Snapshot with a failure that is about objects; others change nothing.
func (f *Failure) apply(s *cluster.Snapshot) *cluster.Snapshot {
	switch f.Kind {
	case PolicyDeleted:
		if out, ok := s.Without(objectOf(f.Policy)); ok {
			return out
		}
	case LabelGone:
		return withoutLabel(s, f.Namespace, f.Label)
	case FirewallOpened:
		return withService(s, f.Service-1, openFirewall)
	case PasswordLogin:
		return withService(s, f.Service-1, takePasswords)
	}
	return s
}

// aboutObjects tells whether the failure changes what is written in the cluster.
func (f *Failure) aboutObjects() bool { return f.Kind == PolicyDeleted || f.Kind == LabelGone }

// Apply gives the Snapshot with all failures that are about objects.
func Apply(s *cluster.Snapshot, set []Failure) *cluster.Snapshot {
	for i := range set {
		s = set[i].apply(s)
	}
	return s
}
