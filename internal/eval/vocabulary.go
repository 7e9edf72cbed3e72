package eval

import "sallyport.dev/sallyport/internal/policy"

// The words of an explanation are those of package policy; the names here let a renderer speak
// them without knowing the model.
type (
	// Action is what a rule does with what it matches.
	Action = policy.Action
	// Match is no, unknown or yes.
	Match = policy.Match
	// Tier is a stage of the decision.
	Tier = policy.Tier
	// Miss is a part of a rule that a flow does not meet.
	Miss = policy.Miss
	// MissPart tells which part of a rule a Miss is about.
	MissPart = policy.Part
)

// The parts of a rule that a flow may miss.
const (
	PartKind           = policy.PartKind
	PartNamespace      = policy.PartNamespace
	PartNamespaceLabel = policy.PartNamespaceLabel
	PartPodLabel       = policy.PartPodLabel
	PartAddress        = policy.PartAddress
	PartNode           = policy.PartNode
	PartDomain         = policy.PartDomain
	PartProtocol       = policy.PartProtocol
	PartPort           = policy.PartPort
	PartNamedPort      = policy.PartNamedPort
	PartPoisoned       = policy.PartPoisoned
)

// The tiers, matches and actions.
const (
	AdminTier         = policy.AdminTier
	NetworkPolicyTier = policy.NetworkPolicyTier
	BaselineTier      = policy.BaselineTier

	No     = policy.No
	Maybe  = policy.Maybe
	Yes    = policy.Yes
	Accept = policy.Accept
	Deny   = policy.Deny
	Pass   = policy.Pass
)
