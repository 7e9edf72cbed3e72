package report

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

type explainJSON struct {
	Schema    string              `json:"schema"`
	Policy    *policyFactsJSON    `json:"policy,omitempty"`
	Endpoints []endpointFactsJSON `json:"endpoints,omitempty"`
	// Of Sallyport's own kinds.
	AccessPolicy *accessFactsJSON   `json:"accessPolicy,omitempty"`
	Identity     *identityFactsJSON `json:"workloadIdentity,omitempty"`
	Service      *serviceFactsJSON  `json:"externalService,omitempty"`
	Notes        []string           `json:"notes"`
}

type policyFactsJSON struct {
	policyJSON
	Tier          string        `json:"tier"`
	Priority      *int          `json:"priority,omitempty"` // of cluster policies
	Subject       peerJSON      `json:"subject"`
	Egress        directionJSON `json:"egress"`
	Ingress       directionJSON `json:"ingress"`
	NotUnderstood []string      `json:"notUnderstood,omitempty"`
}

type directionJSON struct {
	Applies    bool            `json:"applies"`
	Isolates   bool            `json:"isolates"`
	Rules      []ruleFactsJSON `json:"rules"`
	InertRules int             `json:"inertRules,omitempty"`
}

type ruleFactsJSON struct {
	Rule           ruleJSON        `json:"rule"`
	Tier           string          `json:"tier"`
	Name           string          `json:"name,omitempty"`
	EveryPeer      bool            `json:"everyPeer"`
	Peers          []peerJSON      `json:"peers"`
	Ports          []string        `json:"ports"`
	NamedPorts     []namedPortJSON `json:"namedPorts,omitempty"`
	NotUnderstood  bool            `json:"notUnderstood,omitempty"`
	SubjectUnknown bool            `json:"subjectUnknown,omitempty"`
	NoSubject      bool            `json:"noSubject,omitempty"`
	CoveredBy      []ruleJSON      `json:"coveredBy,omitempty"`
}

type namedPortJSON struct {
	Name     string `json:"name"`
	Protocol string `json:"protocol,omitempty"`
}

type peerJSON struct {
	Kind              string      `json:"kind"`
	Namespace         string      `json:"namespace,omitempty"`
	NamespaceSelector *string     `json:"namespaceSelector,omitempty"`
	PodSelector       *string     `json:"podSelector,omitempty"`
	NodeSelector      *string     `json:"nodeSelector,omitempty"`
	Blocks            []blockJSON `json:"blocks,omitempty"`
	DomainNames       []string    `json:"domainNames,omitempty"`
	Now               []string    `json:"now,omitempty"`
	Maybe             []string    `json:"maybe,omitempty"`
}

type blockJSON struct {
	CIDR   string   `json:"cidr"`
	Except []string `json:"except,omitempty"`
}

type endpointFactsJSON struct {
	End         string            `json:"end"`
	Pods        []string          `json:"pods"`
	Labels      map[string]string `json:"labels"`
	HostNetwork bool              `json:"hostNetwork,omitempty"`
	Egress      *effectJSON       `json:"egress,omitempty"`
	Ingress     *effectJSON       `json:"ingress,omitempty"`
	Entries     []entryJSON       `json:"entries,omitempty"`
	// Layers is absent where only network policies speak.
	Layers *endpointLayersJSON `json:"layers,omitempty"`
}

type effectJSON struct {
	Isolating []policyJSON    `json:"isolating"`
	Rules     []ruleFactsJSON `json:"rules"`
	Foreign   []foreignJSON   `json:"notEvaluated,omitempty"`
}

type entryJSON struct {
	End   string   `json:"end"`
	Type  string   `json:"type,omitempty"` // of a Service
	Place string   `json:"place,omitempty"`
	Hosts []string `json:"hosts,omitempty"`
}

const explainSchema = "sallyport.dev/explain/v1"

// ExplainPolicyJSON prints what one policy says and does as JSON.
func ExplainPolicyJSON(w io.Writer, p *explain.Policy, notes []string) error {
	out := policyFactsJSON{policyJSON: policyRef(p.Ref, p.Origin), Tier: p.Tier, Subject: peerFacts(&p.Subject), NotUnderstood: p.NotUnderstood}
	isolates := p.Tier == "NetworkPolicy"
	if !isolates {
		out.Priority = &p.Priority
	}
	for d, to := range map[flow.Direction]*directionJSON{flow.Egress: &out.Egress, flow.Ingress: &out.Ingress} {
		to.Applies = slices.Contains(p.Isolates, d)
		to.Isolates, to.Rules = to.Applies && isolates, []ruleFactsJSON{}
		for i := range p.Sides {
			if s := &p.Sides[i]; s.Direction == d {
				to.Rules, to.InertRules = rulesFacts(s.Rules), s.Inert
			}
		}
	}
	return writeJSON(w, explainJSON{Schema: explainSchema, Policy: &out, Notes: append([]string{}, notes...)})
}

// ExplainEndpointsJSON prints the merged effect of all policies on pods as JSON.
func ExplainEndpointsJSON(w io.Writer, list []explain.Endpoint, notes []string) error {
	out := explainJSON{Schema: explainSchema, Notes: append([]string{}, notes...)}
	for i := range list {
		out.Endpoints = append(out.Endpoints, endpointFacts(&list[i]))
	}
	return writeJSON(w, out)
}

func endpointFacts(e *explain.Endpoint) endpointFactsJSON {
	out := endpointFactsJSON{End: e.Label, Pods: slices.Sorted(slices.Values(e.Pods)), Labels: e.Labels, HostNetwork: e.HostNetwork, Layers: endpointLayers(e.Layers)}
	out.Pods = slices.Compact(out.Pods)
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	for i := range e.Sides {
		s := &e.Sides[i]
		effect := &effectJSON{Isolating: []policyJSON{}, Rules: rulesFacts(s.Rules)}
		for _, p := range s.Isolating {
			effect.Isolating = append(effect.Isolating, policyRef(p.Ref, p.Origin))
		}
		for k := range s.Foreign {
			effect.Foreign = append(effect.Foreign, foreign(&s.Foreign[k]))
		}
		if s.Direction == flow.Egress {
			out.Egress = effect
		} else {
			out.Ingress = effect
		}
	}
	for _, x := range e.Entries {
		out.Entries = append(out.Entries, entryJSON{End: x.Namespace + "/" + x.Kind + "/" + x.Name, Type: x.Type, Place: x.Origin.String(), Hosts: x.Hosts})
	}
	return out
}

func rulesFacts(list []explain.Rule) []ruleFactsJSON {
	out := []ruleFactsJSON{}
	for i := range list {
		out = append(out, ruleFacts(&list[i]))
	}
	return out
}

func ruleFacts(r *explain.Rule) ruleFactsJSON {
	out := ruleFactsJSON{Rule: rule(r.ID, r.Origin, r.Action), Tier: r.Tier, Name: r.Name, EveryPeer: r.EveryPeer, Peers: []peerJSON{},
		NotUnderstood: r.Poisoned, SubjectUnknown: r.SubjectUnknown, NoSubject: r.NoSubject}
	for i := range r.Peers {
		out.Peers = append(out.Peers, peerFacts(&r.Peers[i]))
	}
	out.Ports, out.NamedPorts = portFacts(r)
	if r.Poisoned && r.Action == "Accept" { // it accepts nothing
		out.EveryPeer, out.Ports = false, []string{}
	}
	for _, id := range r.Covered {
		out.CoveredBy = append(out.CoveredBy, rule(id, cluster.Origin{}, ""))
	}
	return out
}

// portFacts gives the ports that a rule names by number, merged, and those that it names by name.
func portFacts(r *explain.Rule) ([]string, []namedPortJSON) {
	var set netset.PortSet
	var named []namedPortJSON
	for i := range r.Ports {
		p := &r.Ports[i]
		switch {
		case p.Name != "" && p.Proto == 0:
			named = append(named, namedPortJSON{Name: p.Name})
		case p.Name != "":
			named = append(named, namedPortJSON{p.Name, p.Proto.String()})
		case p.Proto != 0 && p.Range.First <= p.Range.Last:
			set.Add(p.Proto, p.Range)
		}
	}
	if r.EveryPort {
		set = netset.EveryPort()
	}
	slices.SortFunc(named, func(a, b namedPortJSON) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Protocol, b.Protocol))
	})
	return set.Strings(), slices.Compact(named)
}

func peerFacts(p *explain.Peer) peerJSON {
	out := peerJSON{Kind: p.Kind, Namespace: p.Namespace, DomainNames: p.Names, Now: p.Now, Maybe: p.Maybe}
	switch p.Kind {
	case "pods":
		out.PodSelector = selectorText(p.Pods)
		if p.Namespace == "" {
			out.NamespaceSelector = selectorText(p.Namespaces)
		}
	case "nodes":
		out.NodeSelector = selectorText(p.Nodes)
	}
	for i := range p.Blocks {
		b := &p.Blocks[i]
		if !b.CIDR.IsValid() {
			continue
		}
		block := blockJSON{CIDR: b.CIDR.String()}
		for _, e := range b.Except {
			block.Except = append(block.Except, e.String())
		}
		out.Blocks = append(out.Blocks, block)
	}
	return out
}

// selectorText writes a selector in full, the way kubectl get -l takes it; the empty text selects all.
func selectorText(s explain.Selector) *string {
	parts := make([]string, 0, len(s))
	for _, r := range s {
		values := "(" + strings.Join(r.Values, ",") + ")"
		switch r.Operator {
		case "In":
			if len(r.Values) == 1 {
				parts = append(parts, r.Key+"="+r.Values[0])
				continue
			}
			parts = append(parts, r.Key+" in "+values)
		case "NotIn":
			if len(r.Values) == 1 {
				parts = append(parts, r.Key+"!="+r.Values[0])
				continue
			}
			parts = append(parts, r.Key+" notin "+values)
		case "DoesNotExist":
			parts = append(parts, "!"+r.Key)
		case "Exists":
			parts = append(parts, r.Key)
		default: // not understood: it holds for nothing
			parts = append(parts, r.String())
		}
	}
	text := strings.Join(parts, ",")
	return &text
}
