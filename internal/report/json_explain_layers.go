package report

import (
	"io"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/explain"
)

// endpointLayersJSON is what is known of an endpoint beside network policies.
type endpointLayersJSON struct {
	NotRead  bool          `json:"notRead,omitempty"`
	Identity identityJSON  `json:"identity"`
	Access   accessAskJSON `json:"access"`
}

type identityJSON struct {
	ServiceAccount string         `json:"serviceAccount"`
	SPIFFEID       string         `json:"spiffeID,omitempty"`
	Issued         string         `json:"issued"`
	Reason         string         `json:"reason"`
	Objects        []layerRefJSON `json:"objects,omitempty"`
	Azure          []grantJSON    `json:"azure,omitempty"`
	AnyAzure       []anyAzureJSON `json:"perhapsAnyAzure,omitempty"`
}

type grantJSON struct {
	ClientID  string         `json:"clientID"`
	TenantID  string         `json:"tenantID,omitempty"`
	Resources []string       `json:"resources,omitempty"` // absent: every one
	Objects   []layerRefJSON `json:"objects"`
}

type anyAzureJSON struct {
	Reason string       `json:"reason"`
	Object layerRefJSON `json:"object"`
}

type accessAskJSON struct {
	Asked      []string       `json:"asked"`
	Unenforced []string       `json:"unenforced"`
	Policies   []accessAtJSON `json:"policies"`
}

// accessRulesJSON is what an AccessPolicy says wherever it is shown.
type accessRulesJSON struct {
	policyJSON
	Mode          string           `json:"mode"`
	EnforcedBy    string           `json:"enforcedBy,omitempty"`
	Projected     bool             `json:"projected,omitempty"`
	Rules         []accessRuleJSON `json:"rules"`
	NotUnderstood []string         `json:"notUnderstood,omitempty"`
}

type accessAtJSON struct {
	accessRulesJSON
	Ports      []string `json:"ports"`
	Undeclared []string `json:"undeclaredPorts,omitempty"`
}

type accessRuleJSON struct {
	Path   string           `json:"path"`
	Place  string           `json:"place,omitempty"`
	Action string           `json:"action"`
	Peers  []accessPeerJSON `json:"peers"`
}

type accessPeerJSON struct {
	ServiceAccount string   `json:"serviceAccount,omitempty"`
	SPIFFEID       string   `json:"spiffeID"`
	Prefix         bool     `json:"prefix,omitempty"`
	Foreign        bool     `json:"otherTrustDomain,omitempty"`
	Now            []string `json:"now,omitempty"`
	Maybe          []string `json:"maybe,omitempty"`
	Unissued       []string `json:"unissued,omitempty"`
}

// accessFactsJSON is an AccessPolicy by itself.
type accessFactsJSON struct {
	accessRulesJSON
	Targets  []string     `json:"targets"`
	Service  *policyJSON  `json:"service,omitempty"`
	Pass     []string     `json:"pass"`
	Maybe    []string     `json:"passMaybe"`
	Unissued []string     `json:"passUnissued"`
	Others   []policyJSON `json:"countsWith,omitempty"`
	Spec     any          `json:"spec"`
}

type identityFactsJSON struct {
	policyJSON
	SPIFFEID      string   `json:"spiffeID,omitempty"`
	Now           []string `json:"now"`
	Maybe         []string `json:"maybe,omitempty"`
	Host          []string `json:"hostNetwork,omitempty"`
	Unenforced    []string `json:"networkNotEnforced,omitempty"`
	NotUnderstood []string `json:"notUnderstood,omitempty"`
	Spec          any      `json:"spec"`
}

type serviceFactsJSON struct {
	policyJSON
	Ports         []string     `json:"ports"`
	Policies      []policyJSON `json:"accessPolicies"`
	NotUnderstood []string     `json:"notUnderstood,omitempty"`
	Spec          any          `json:"spec"`
}

func endpointLayers(y *explain.Layers) *endpointLayersJSON {
	if y == nil {
		return nil
	}
	out := &endpointLayersJSON{NotRead: y.Unread,
		Identity: identityJSON{ServiceAccount: y.Account, SPIFFEID: y.SPIFFEID, Issued: y.Issued.String(), Reason: y.Reason.String()},
		Access:   accessAskJSON{Asked: y.Asked.Strings(), Unenforced: y.Unenforced.Strings(), Policies: []accessAtJSON{}}}
	for i := range y.Refs {
		out.Identity.Objects = append(out.Identity.Objects, layerRef(&y.Refs[i]))
	}
	for i := range y.Azure {
		g := &y.Azure[i]
		grant := grantJSON{ClientID: g.ClientID, TenantID: g.TenantID, Resources: g.Resources}
		for j := range g.By {
			grant.Objects = append(grant.Objects, layerRef(&g.By[j]))
		}
		out.Identity.Azure = append(out.Identity.Azure, grant)
	}
	for i := range y.Any {
		out.Identity.AnyAzure = append(out.Identity.AnyAzure, anyAzureJSON{y.Any[i].Reason.String(), layerRef(&y.Any[i].By)})
	}
	for i := range y.Policies {
		p := &y.Policies[i]
		out.Access.Policies = append(out.Access.Policies, accessAtJSON{accessRules(p.AccessPolicy), p.Ports.Strings(), p.Undeclared})
	}
	return out
}

func accessRules(p *explain.AccessPolicy) accessRulesJSON {
	out := accessRulesJSON{policyJSON: policyRef(p.Ref, p.Origin), Mode: string(v1alpha1.ModeEnforce),
		Projected: p.Projected(), Rules: []accessRuleJSON{}, NotUnderstood: p.NotUnderstood}
	if p.Audit() {
		out.Mode = string(v1alpha1.ModeAudit)
	}
	if p.Enforced {
		out.EnforcedBy = string(p.Spec.EnforcedBy)
	}
	if len(p.NotUnderstood) > 0 { // no rule has a say, it denies everybody
		return out
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		rule := accessRuleJSON{Path: r.Path, Place: r.Origin.String(), Action: "Allow", Peers: []accessPeerJSON{}}
		if r.Deny {
			rule.Action = "Deny"
		}
		for k := range r.Peers {
			q := &r.Peers[k]
			rule.Peers = append(rule.Peers, accessPeerJSON{q.Account, q.ID, q.Prefix, q.Foreign, q.Now, q.Maybe, q.Unissued})
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

// ExplainAccessJSON prints what an AccessPolicy says, and whom it lets pass, as JSON.
func ExplainAccessJSON(w io.Writer, p *explain.AccessPolicy, notes []string) error {
	out := accessFactsJSON{accessRulesJSON: accessRules(p), Targets: append([]string{}, p.Target.Now...), Pass: append([]string{}, p.Pass...),
		Maybe: append([]string{}, p.PassMaybe...), Unissued: append([]string{}, p.Unissued...), Spec: p.Spec}
	if p.Service != nil {
		s := serviceRef(p.Service)
		out.Service = &s
	}
	for _, o := range p.Others {
		out.Others = append(out.Others, policyRef(o.Ref, o.Origin))
	}
	return writeJSON(w, explainJSON{Schema: explainSchema, AccessPolicy: &out, Notes: append([]string{}, notes...)})
}

// ExplainIdentityJSON prints what a WorkloadIdentity gives to whom as JSON.
func ExplainIdentityJSON(w io.Writer, x *explain.WorkloadIdentity, notes []string) error {
	out := identityFactsJSON{policyJSON: policyRef(x.Ref, x.Origin), SPIFFEID: x.SPIFFEID, Now: append([]string{}, x.Now...), Maybe: x.Maybe,
		Host: x.Host, Unenforced: x.Unenforced, NotUnderstood: x.NotUnderstood, Spec: x.Spec}
	return writeJSON(w, explainJSON{Schema: explainSchema, Identity: &out, Notes: append([]string{}, notes...)})
}

// ExplainServiceJSON prints what is said of a service outside the cluster as JSON.
func ExplainServiceJSON(w io.Writer, x *explain.Service, notes []string) error {
	out := serviceFactsJSON{policyJSON: serviceRef(x.ExternalService), Ports: x.Ports.Strings(), Policies: []policyJSON{}, NotUnderstood: x.NotUnderstood, Spec: x.Spec}
	for _, p := range x.Policies {
		out.Policies = append(out.Policies, policyRef(p.Ref, p.Origin))
	}
	return writeJSON(w, explainJSON{Schema: explainSchema, Service: &out, Notes: append([]string{}, notes...)})
}

func serviceRef(x *cluster.ExternalService) policyJSON {
	return policyRef(cluster.PolicyRef{Kind: x.Kind(), Namespace: x.Namespace, Name: x.Name}, x.Origin)
}
