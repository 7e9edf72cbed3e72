// Package flow holds the question and the vocabulary of its answer: one connection that somebody
// wants to open, the verdict on it, and the kinds of reason a verdict can have.
//
// It imports the standard library and netset only and must never decide anything.
package flow

import (
	"fmt"
	"net/netip"

	"sallyport.dev/sallyport/internal/netset"
)

// Family is an IP address family.
type Family uint8

// The address families; IPv4 sorts first.
const (
	IPv4 Family = iota + 1
	IPv6
)

// Families lists both in output order.
var Families = [...]Family{IPv4, IPv6}

// FamilyOf tells the family of an address; a v4-mapped address counts as IPv6, which no pod has.
func FamilyOf(a netip.Addr) Family {
	if a.Is4() {
		return IPv4
	}
	return IPv6
}

// String gives ipv4 or ipv6.
func (f Family) String() string {
	if f == IPv6 {
		return "ipv6"
	}
	return "ipv4"
}

// Kind tells what stands at one end of a flow.
type Kind uint8

// The kinds of end.
const (
	Pod     Kind = iota + 1 // Index counts in Snapshot.Pods
	Node                    // Index counts in Snapshot.Nodes
	Address                 // an address of no known pod or node; Addr is always set
)

// End is one end of a flow. Values come from Snapshot's resolution or from generators; Index must
// be in range for its kind.
type End struct {
	Kind  Kind
	Index int
	// Addr is the address that the packet carries for this end. It is the zero Addr where the end
	// is a pod or node whose address in the flow's family is not known (every template, S17).
	Addr netip.Addr
}

// Flow is one connection that From wants to open to To. Replies belong to it (S19).
type Flow struct {
	From, To End
	Family   Family // of the packet; the addresses of both ends, where set, are of this family
	Proto    netset.Proto
	Port     uint16 // destination port, 1 to 65535; 0 for netset.Other
	// ViaService: the flow was addressed to a Service, so the exemption of a pod's own address does
	// not hold even if the backend is the sender (S21, S46).
	ViaService bool
}

// Verdict is the answer to one flow (S60).
type Verdict uint8

// The verdicts. Ambiguous means that policies of equal priority disagree (S40), Unknown that an
// input is missing.
const (
	Allowed Verdict = iota + 1
	Denied
	Unknown
	Ambiguous
)

// String gives the lower-case word.
func (v Verdict) String() string {
	switch v {
	case Allowed:
		return "allowed"
	case Denied:
		return "denied"
	case Unknown:
		return "unknown"
	case Ambiguous:
		return "ambiguous"
	}
	return fmt.Sprintf("verdict(%d)", uint8(v))
}

// And joins the verdicts of the two directions: a connection needs both (S18).
func (v Verdict) And(o Verdict) Verdict {
	switch {
	case v == Denied || o == Denied:
		return Denied
	case v == Unknown || o == Unknown:
		return Unknown
	case v == Ambiguous || o == Ambiguous:
		return Ambiguous
	}
	return Allowed
}

// Direction is the side of a connection that a decision is about.
type Direction uint8

// The directions: Egress is decided at the source, Ingress at the destination.
const (
	Egress Direction = iota + 1
	Ingress
)

// Directions lists both in the order in which a connection meets them.
var Directions = [...]Direction{Egress, Ingress}

// String gives egress or ingress.
func (d Direction) String() string {
	if d == Ingress {
		return "ingress"
	}
	return "egress"
}

// MarshalText gives String.
func (d Direction) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Reason is the kind of thing that decided one direction of a flow.
type Reason uint8

// The reasons, in the order in which they are asked; the first that applies decides.
const (
	// NoPolicyHere: this end is not a pod that policies can select (a node, a hostNetwork pod, an outside address; S18, S23).
	NoPolicyHere Reason = iota + 1
	// NotEnforced: the named plugin enforces no policies, or not for this kind of traffic (S26).
	NotEnforced
	// Self: a pod talks to its own address (S21, S46).
	Self
	// Spoofed: the packet's source is not the sending pod's own address (S28).
	Spoofed
	// Metadata: a metadata address, blocked on leaving the pod (S27).
	Metadata
	// AdminRule: a rule of the Admin tier accepts or denies (S40, S41).
	AdminRule
	// OwnNode: traffic between a pod and its own node, which NetworkPolicy always allows (S22).
	OwnNode
	// PolicyRule: a NetworkPolicy rule allows (S10).
	PolicyRule
	// Isolated: NetworkPolicies select the pod for this direction and no rule allows (S10).
	Isolated
	// BaselineRule: a rule of the Baseline tier accepts or denies (S40, S42).
	BaselineRule
	// Default: nothing selects the pod for this direction, or every rule passed (S10, S41).
	Default
)

// String gives a stable kebab-case word, used in JSON output.
func (r Reason) String() string {
	names := [...]string{"", "no-policy-here", "not-enforced", "self", "spoofed", "metadata", "admin-rule",
		"own-node", "policy-rule", "isolated", "baseline-rule", "default"}
	if int(r) < len(names) && r > 0 {
		return names[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}
