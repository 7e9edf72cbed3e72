package report

import (
	"fmt"
	"io"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/explain"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/names"
)

// ExplainPolicy prints what one policy says and does, in sentences.
func ExplainPolicy(w io.Writer, p *explain.Policy, notes []string) error {
	var b page
	b.line("%s %s%s", kindOf(p.Ref), names.Safe(refName(p.Ref)), place(p.Origin))
	b.line("")
	for _, n := range p.NotUnderstood {
		b.line("  not understood: %s; %s", names.Safe(n), notUnderstoodWords(p))
	}
	if p.Tier != "NetworkPolicy" {
		b.line("  It is asked in the %s tier with priority %d; lower comes first.", p.Tier, p.Priority)
	}
	b.line("  It selects %s: %s.", subjectWords(p.Subject), nowWords(p.Subject, "no pod of the input"))
	b.line("  %s", effectWords(p))
	for _, s := range p.Sides {
		b.side(&s, p)
	}
	b.line("")
	b.line("  It makes no difference to %s.", strings.Join(untouched(p), ", "))
	return b.flush(w, notes)
}

// notUnderstoodWords says what becomes of a part that was not understood (S32, S43).
func notUnderstoodWords(p *explain.Policy) string {
	if p.Tier == "NetworkPolicy" {
		return "this part matches nothing, and the policy still isolates"
	}
	return "a rule with it accepts nothing, or denies everything"
}

// page collects the lines of an explanation.
type page struct{ strings.Builder }

func (b *page) line(format string, args ...any) { fmt.Fprintf(b, format+"\n", args...) }

func (b *page) flush(w io.Writer, notes []string) error {
	if len(notes) > 0 {
		b.line("")
	}
	for _, n := range notes {
		b.line("  note: %s", names.Safe(n))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func kindOf(r cluster.PolicyRef) string { return r.Kind }

func refName(r cluster.PolicyRef) string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

func subjectWords(p explain.Peer) string { return podsWords(p) }

// podsWords says which pods a pair of selectors stands for.
func podsWords(p explain.Peer) string {
	pods := "every pod"
	if len(p.Pods) > 0 {
		pods = "pods with " + names.Safe(p.Pods.String())
	}
	switch {
	case p.Namespace != "":
		return pods + " in namespace " + names.Safe(p.Namespace)
	case len(p.Namespaces) == 0:
		return pods + " in every namespace"
	}
	return pods + " in namespaces with " + names.Safe(p.Namespaces.String())
}

func nowWords(p explain.Peer, nothing string) string {
	now := nothing
	if len(p.Now) > 0 {
		now = names.Safe(shorten(p.Now))
	}
	if len(p.Maybe) > 0 {
		now += "; perhaps " + names.Safe(shorten(p.Maybe)) + ", whose namespaces' labels are not in the input"
	}
	return now
}

func shorten(list []string) string {
	const most = 8
	if len(list) > most+1 {
		return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
	}
	return strings.Join(list, ", ")
}

func effectWords(p *explain.Policy) string {
	var list []string
	for _, d := range p.Isolates {
		list = append(list, d.String())
	}
	dirs := strings.Join(list, " and ")
	switch {
	case len(list) == 0:
		return "It has no effect in either direction."
	case p.Tier != "NetworkPolicy":
		return "It has rules for " + dirs + "; it isolates nothing: what no rule matches goes on to the next policy."
	}
	return "It isolates them for " + dirs + ": there, everything is denied that no policy allows."
}

func (b *page) side(s *explain.Side, p *explain.Policy) {
	b.line("")
	b.line("  %s", s.Direction)
	if s.Inert > 0 {
		b.line("    %s inert: policyTypes leaves %s out", plural(s.Inert, "rule is", "rules are"), s.Direction)
	}
	for i := range s.Rules {
		b.rule("    ", &s.Rules[i], s.Direction, false)
	}
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

var actionVerbs = map[string][2]string{
	"Accept": {"lets out to", "lets in from"},
	"Deny":   {"denies going to", "denies coming from"},
	"Pass":   {"leaves to the next tier what goes to", "leaves to the next tier what comes from"},
}

// rule prints a rule; named tells whether the policy's name has to stand with it.
func (b *page) rule(indent string, r *explain.Rule, d flow.Direction, named bool) {
	head := r.ID.Path()
	if named {
		head = names.Safe(r.ID.Policy.String()) + ", " + head
	}
	if r.Name != "" {
		head += fmt.Sprintf(" %q", r.Name) // which escapes all that Safe would
	}
	verb := actionVerbs[r.Action][d-1]
	if named && r.Tier != "NetworkPolicy" {
		head = r.Tier + " tier: " + head
	}
	switch {
	case r.Poisoned && r.Action == "Accept":
		b.line("%s%s%s was not understood, so it accepts nothing", indent, head, place(r.Origin))
		return
	case r.Poisoned:
		b.line("%s%s%s was not understood, so it denies everything", indent, head, place(r.Origin))
		return
	}
	b.line("%s%s%s %s", indent, head, place(r.Origin), verb)
	if r.EveryPeer {
		b.line("%s  everyone, addresses outside the cluster included", indent)
	}
	for i := range r.Peers {
		b.line("%s  %s", indent, peerWords(r.Peers[i]))
	}
	b.line("%s  on %s", indent, portsWords(r))
	b.remarks(indent, r)
}

func (b *page) remarks(indent string, r *explain.Rule) {
	if r.SubjectUnknown {
		b.line("%s  (whether the policy selects this pod is not known: its namespace's labels are not in the input)", indent)
	}
	switch {
	case r.NoSubject:
		b.line("%s  makes no difference now: the policy selects no pod", indent)
	case matchesNobody(r):
		b.line("%s  makes no difference now: it matches no pod of the input", indent)
	case len(r.Covered) > 0:
		list := make([]string, 0, len(r.Covered))
		for _, id := range r.Covered {
			list = append(list, names.Safe(id.Policy.String())+" "+id.Path())
		}
		b.line("%s  makes no difference: %s already %s all of it", indent, shorten(list), map[bool]string{true: "allows", false: "allow"}[len(list) == 1])
	}
}

func matchesNobody(r *explain.Rule) bool {
	for _, p := range r.Peers {
		if p.Kind != "pods" || len(p.Now)+len(p.Maybe) > 0 {
			return false
		}
	}
	return !r.EveryPeer
}

func peerWords(p explain.Peer) string {
	switch p.Kind {
	case "pods":
		return podsWords(p) + ": now " + nowWords(p, "nobody")
	case "addresses":
		blocks := make([]string, len(p.Blocks))
		for i := range p.Blocks {
			blocks[i] = p.Blocks[i].String()
		}
		return "addresses in " + names.Safe(shorten(blocks))
	case "nodes":
		if len(p.Nodes) == 0 {
			return "every node"
		}
		return "nodes with " + names.Safe(p.Nodes.String())
	case "names":
		return "the names " + names.Safe(shorten(p.Names))
	}
	return "something that was not understood, which matches nothing"
}

func portsWords(r *explain.Rule) string {
	if r.EveryPort {
		return "every port and protocol"
	}
	ports := make([]string, len(r.Ports))
	for i := range r.Ports {
		ports[i] = r.Ports[i].String()
	}
	return names.Safe(shorten(ports))
}

// untouched lists what the policy has no say about.
func untouched(p *explain.Policy) []string {
	var out []string
	for _, d := range p.Leaves {
		out = append(out, d.String()+" of these pods")
	}
	out = append(out, "any other pod")
	if p.Tier == "NetworkPolicy" {
		out = append(out, "traffic between a pod and its own node", "hostNetwork pods")
	} else {
		out = append(out, "hostNetwork pods")
	}
	return append(out, "replies of connections that are allowed")
}

// ExplainEndpoints prints the merged effect of all policies on pods.
func ExplainEndpoints(w io.Writer, list []explain.Endpoint, notes []string) error {
	var b page
	for i := range list {
		if i > 0 {
			b.line("")
		}
		b.endpoint(&list[i], len(list) > 1)
	}
	return b.flush(w, notes)
}

func (b *page) endpoint(e *explain.Endpoint, several bool) {
	name := e.Label
	if several {
		name += ": " + shorten(e.Pods)
	}
	labels := "no labels"
	if len(e.Labels) > 0 {
		labels = strings.Join(labelPairs(e.Labels), ", ")
	}
	b.line("%s  (%s; %s)", names.Safe(name), plural(len(e.Pods), "endpoint", "endpoints"), names.Safe(labels))
	if e.HostNetwork {
		b.line("")
		b.line("  It uses hostNetwork: to policies it is its node, and no policy selects it.")
	}
	for i := range e.Sides {
		b.endpointSide(&e.Sides[i])
	}
	if e.Layers != nil {
		b.endpointLayers(e.Layers)
	}
	if len(e.Entries) > 0 {
		b.line("")
		b.line("  ways in from outside the cluster")
	}
	for _, x := range e.Entries {
		hosts := ""
		if len(x.Hosts) > 0 {
			hosts = " for " + names.Safe(shorten(x.Hosts))
		}
		kind := x.Kind
		if x.Type != "" {
			kind = x.Type + " Service"
		}
		b.line("    %s %s/%s%s%s", kind, names.Safe(x.Namespace), names.Safe(x.Name), place(x.Origin), hosts)
	}
}

func (b *page) endpointSide(s *explain.EndpointSide) {
	b.line("")
	if len(s.Isolating) == 0 {
		after := "everything is allowed"
		if len(s.Rules) > 0 {
			after = "what no rule below denies is allowed"
		}
		b.line("  %s: no NetworkPolicy isolates it, so %s", s.Direction, after)
	} else {
		list := make([]string, 0, len(s.Isolating))
		for _, p := range s.Isolating {
			list = append(list, names.Safe(p.Ref.String())+place(p.Origin))
		}
		b.line("  %s: isolated by %s", s.Direction, shorten(list))
		if len(s.Rules) == 0 {
			b.line("    no rule allows anything")
		}
	}
	for i := range s.Rules {
		b.rule("    ", &s.Rules[i], s.Direction, true)
	}
	for i := range s.Foreign {
		b.line("    not evaluated: %s may decide otherwise", foreignWords(&s.Foreign[i]))
	}
}
