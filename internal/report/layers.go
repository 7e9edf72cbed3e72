package report

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/names"
)

// layerWidth is that of the longest name of a layer.
const layerWidth = len("external authentication")

// sideWidth is how wide directions are written: as layers, where these stand below them.
func sideWidth(d *layers.Decision) int {
	if d == nil {
		return len("ingress")
	}
	return layerWidth
}

// layersText says what each layer above the network answers, and what all of them make together.
func (b *page) layersText(indent string, s *cluster.Snapshot, d *layers.Decision) {
	var silent []string
	for i := range d.Steps {
		step := &d.Steps[i]
		switch step.Reason {
		case layers.ByPolicies: // said with the network's own words
			continue
		case layers.NoService:
			silent = append(silent, step.Layer.String())
			continue
		}
		b.line("%s%-*s  %-7s  %s", indent, layerWidth, step.Layer, step.Answer, layerWords(step))
	}
	if len(silent) > 0 {
		b.line("%s%s: none, because no service is declared at this destination", indent, joinWords(silent))
	}
	if len(d.Services) > 1 {
		b.line("%swhich of %s is meant is not known", indent, servicesWords(s, d))
	}
	for _, a := range d.Audit {
		b.line("%saudit: %s would %s it", indent, refWords(&a.Policy), a.Answer)
	}
	b.line("%s%s", indent, togetherWords(d))
}

func servicesWords(s *cluster.Snapshot, d *layers.Decision) string {
	var list []string
	for _, i := range d.Services {
		list = append(list, names.Safe(s.External[i].String()))
	}
	return strings.Join(list, " and ")
}

// togetherWords says what the layers make together (L41, L42).
func togetherWords(d *layers.Decision) string {
	gates := d.Gates()
	switch {
	case len(gates) == 1:
		return "stopped by " + gates[0].String() + " alone: a single point"
	case len(gates) > 1:
		return "stopped by " + joinWords(texts(gates)) + ": defended"
	case d.Works():
		return "nothing stops it"
	}
	return "nothing surely stops it: it could get through, and is not sure to work"
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, 0, len(list))
	for _, x := range list {
		out = append(out, x.String())
	}
	return out
}

// joinWords makes "a, b and c" of a list that is not empty.
func joinWords(list []string) string {
	last := len(list) - 1
	if last == 0 {
		return list[0]
	}
	return strings.Join(list[:last], ", ") + " and " + list[last]
}

// refWords names an object, the part of it, and where that is.
func refWords(r *layers.Ref) string {
	path := ""
	if r.Path != "" {
		path = ", " + r.Path
	}
	object := *r
	object.Path = ""
	return names.Safe(object.String()) + path + place(r.Origin)
}

func refsWords(list []layers.Ref) string {
	const most = 3
	var out []string
	for i := range list {
		if i == most {
			out = append(out, fmt.Sprintf("%d more", len(list)-most))
			break
		}
		out = append(out, refWords(&list[i]))
	}
	return joinWords(out)
}

// layerReasons are the words for a reason; %s stands for what decided.
var layerReasons = map[layers.Reason]string{
	layers.ByProjection:         "projected into the network: no rule of %s allows the source",
	layers.OwnNodeUnknown:       "whether it comes from the pod's own node, which %s does not keep out, is not known",
	layers.NotRead:              "something could not be read that may have a say here",
	layers.NotUnderstood:        "%s is not fully understood",
	layers.NoFirewall:           "nothing is said of a firewall",
	layers.AtPrivateEndpoint:    "at %s, which no rule closes",
	layers.PublicAccessDisabled: "the public addresses are closed by %s",
	layers.SubnetRule:           "the subnet is admitted by %s",
	layers.IPRule:               "the address is admitted by %s",
	layers.AzureServices:        "whatever runs in Azure is admitted, other tenants too, by %s",
	layers.NoRuleAdmits:         "no rule admits the source: %s",
	layers.SourceUnknown:        "as what the source appears there is not known for sure: %s",
	layers.NothingAsked:         "nothing asks for an identity here",
	layers.Issued:               "issued by %s",
	layers.NotIssued:            "nothing issues one that counts here",
	layers.HostNetwork:          "a pod with hostNetwork is issued none: it shares its node's network",
	layers.NoWorkload:           "only pods are issued identities",
	layers.NetworkNotEnforced:   "%s asks for an enforced network, and nothing enforces it",
	layers.ForeignIdentity:      "an address outside may hold the identity of another trust domain that is admitted by %s",
	layers.Password:             "a password will do instead: %s",
	layers.NoAccessPolicy:       "no AccessPolicy names this target",
	layers.AllowRule:            "allowed by %s",
	layers.DenyRule:             "denied by %s",
	layers.NoRuleMatches:        "no rule of %s matches the identity",
	layers.NothingSaid:          "nothing is said of its authentication",
	layers.Admitted:             "admitted by %s",
	layers.NotAdmitted:          "the identity is not admitted by %s",
	layers.AdmittedUnknown:      "whom it admits is not said: %s",
	layers.ServiceUnknown:       "which of several services is meant is not known: %s",
	layers.NoIdentity:           "there is no identity to admit: %s",
	layers.AccountUnnamed:       "it has a token that Entra takes, and for which identities Entra takes %s is in no file",
	layers.NodeIdentity:         "it is given what its node has: %s",
}

// layerWords says why a layer answers as it does.
func layerWords(s *layers.Step) string {
	text := layerReasons[s.Reason]
	switch {
	case s.Reason == layers.ByPolicies && s.Answer == layers.None:
		return "no network policy has a say"
	case s.Reason == layers.ByPolicies:
		return "network policies say so"
	case s.Reason == layers.NoService:
		return "no service is declared at this destination"
	case s.Reason == layers.NoIdentity && s.Layer == layers.AccessPolicy:
		text = "no rule of %s matches an end without identity"
	}
	text = withRefs(text, s.Refs)
	if s.Unenforced {
		text += "; nobody is known to enforce that"
	}
	return text
}

// withRefs puts what decided into a text that asks for it.
func withRefs(text string, refs []layers.Ref) string {
	if !strings.Contains(text, "%s") {
		return text
	}
	what := "what is declared"
	if len(refs) > 0 {
		what = refsWords(refs)
	}
	return fmt.Sprintf(text, what)
}

// layerJSON is the answer of one layer.
type layerJSON struct {
	Layer      string         `json:"layer"`
	Answer     string         `json:"answer"`
	Reason     string         `json:"reason"`
	Unenforced bool           `json:"unenforced,omitempty"`
	Objects    []layerRefJSON `json:"objects,omitempty"`
}

type layerRefJSON struct {
	policyJSON
	Path string `json:"path,omitempty"`
}

// jointJSON is what all layers say of one flow.
type jointJSON struct {
	Answers  []layerJSON `json:"answers"`
	Blockers []string    `json:"blockers"`
	Gates    []string    `json:"gates"`
	Could    bool        `json:"couldReach"`
	Works    bool        `json:"willWork"`
	Services []string    `json:"services,omitempty"`
	Audit    []auditJSON `json:"audit,omitempty"`
}

type auditJSON struct {
	Policy layerRefJSON `json:"policy"`
	Answer string       `json:"answer"`
}

func layerRef(r *layers.Ref) layerRefJSON {
	return layerRefJSON{policyRef(cluster.PolicyRef{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}, r.Origin), r.Path}
}

func layerOf(s *layers.Step) layerJSON {
	out := layerJSON{Layer: s.Layer.String(), Answer: s.Answer.String(), Reason: s.Reason.String(), Unenforced: s.Unenforced}
	for i := range s.Refs {
		out.Objects = append(out.Objects, layerRef(&s.Refs[i]))
	}
	return out
}

// joint gives nil where layers do not speak.
func joint(s *cluster.Snapshot, d *layers.Decision) *jointJSON {
	if d == nil {
		return nil
	}
	out := &jointJSON{Blockers: texts(d.Blockers()), Gates: texts(d.Gates()), Could: d.Could(), Works: d.Works()}
	for i := range d.Steps {
		out.Answers = append(out.Answers, layerOf(&d.Steps[i]))
	}
	for _, i := range d.Services {
		out.Services = append(out.Services, s.External[i].String())
	}
	for i := range d.Audit {
		out.Audit = append(out.Audit, auditJSON{layerRef(&d.Audit[i].Policy), d.Audit[i].Answer.String()})
	}
	return out
}

// layerChangeJSON is a layer that answers something else than before.
type layerChangeJSON struct {
	Before layerJSON `json:"before"`
	After  layerJSON `json:"after"`
}

// layerChangeWords says what changed in a layer, and why.
func layerChangeWords(c *analyze.LayerChange) string {
	return fmt.Sprintf("%s: %s (%s), now %s (%s)", c.After.Layer, c.Before.Answer, layerWords(&c.Before), c.After.Answer, layerWords(&c.After))
}

// layerPolicies lists the objects behind changes of layers, without repetition.
func layerPolicies(why *analyze.Why) []cluster.PolicyRef {
	refs := slices.Clone(why.Issuing)
	for i := range why.Layers {
		refs = slices.Concat(refs, why.Layers[i].Before.Refs, why.Layers[i].After.Refs)
	}
	var out []cluster.PolicyRef
	for _, r := range refs {
		ref := cluster.PolicyRef{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name}
		if !slices.Contains(out, ref) {
			out = append(out, ref)
		}
	}
	return out
}

// layerLines says of the layers above the network that answer so why they do.
func layerLines(d *layers.Decision, answer layers.Answer) []string {
	if d == nil {
		return nil
	}
	var out []string
	for i := range d.Steps {
		if s := &d.Steps[i]; s.Answer == answer && s.Reason != layers.ByPolicies {
			out = append(out, s.Layer.String()+": "+layerWords(s))
		}
	}
	return out
}
