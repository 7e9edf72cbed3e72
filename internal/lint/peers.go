package lint

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// eachRule visits the rules of all policies.
func (r *run) eachRule(visit func(p *policy.Policy, d flow.Direction, rule *policy.Rule)) {
	for _, p := range r.Model.Policies() {
		for _, d := range flow.Directions {
			rules := p.Rules(d)
			for i := range rules {
				visit(p, d, &rules[i])
			}
		}
	}
}

// peerPath gives the place of a peer.
func peerPath(p *policy.Policy, d flow.Direction, rule *policy.Rule, peer int) string {
	return p.RuleID(d, rule.Index, peer, -1).Path()
}

// emptyPeers visits the peers that match no pod of the input, and of which that can be told; slips,
// which say more, are left out.
func (r *run) emptyPeers(visit func(p *policy.Policy, d flow.Direction, rule *policy.Rule, peer int, m miss)) {
	r.eachRule(func(p *policy.Policy, d flow.Direction, rule *policy.Rule) {
		for i := range rule.Peers {
			peer := &rule.Peers[i]
			if peer.Kind != policy.PodPeer || len(r.search().Classes(peer)) > 0 || r.slip(p, d, rule, i) != nil {
				continue
			}
			if i > 0 && r.slip(p, d, rule, i-1) != nil { // which is about both
				continue
			}
			s := selection{namespace: peer.Namespace, namespaces: peer.Namespaces, pods: peer.Pods}
			s.alone = s.namespace != "" && len(p.Pods) > 0 && len(r.search().Subjects(p, d)) == len(r.population().classes[s.namespace])
			if m, ok := r.missOf(s, true); ok && (p.Tier == policy.NetworkPolicyTier || m.likely) {
				visit(p, d, rule, i, m)
			}
		}
	})
}

func peerMatchesNothing(r *run) {
	r.emptyPeers(func(p *policy.Policy, d flow.Direction, rule *policy.Rule, peer int, m miss) {
		if !m.noLabels {
			r.add(onPolicy(p, peerPath(p, d, rule, peer), m.message, nobody(d, rule), m.fix))
		}
	})
}

func namespaceWithoutLabels(r *run) {
	r.emptyPeers(func(p *policy.Policy, d flow.Direction, rule *policy.Rule, peer int, m miss) {
		if m.noLabels {
			r.add(onPolicy(p, peerPath(p, d, rule, peer), m.message, nobody(d, rule), m.fix))
		}
	})
}

// nobody says what a peer is worth that matches nothing.
func nobody(d flow.Direction, rule *policy.Rule) string {
	what := "The peer"
	if len(rule.Peers) == 1 {
		what = "The rule"
	}
	switch {
	case rule.Action != policy.Accept:
		return what + " has no effect."
	case d == flow.Egress:
		return what + " lets nothing out."
	}
	return what + " lets nobody in."
}

// slip is a place where selectors stand in one item of a list or in two, and the other was probably meant.
type slip struct{ message, reason, fix string }

func andOrSlip(r *run) {
	r.eachRule(func(p *policy.Policy, d flow.Direction, rule *policy.Rule) {
		for i := range rule.Peers {
			if s := r.slip(p, d, rule, i); s != nil {
				r.add(onPolicy(p, peerPath(p, d, rule, i), s.message, s.reason, s.fix))
			}
		}
	})
}

// slip looks at an item and at the one after it.
func (r *run) slip(p *policy.Policy, d flow.Direction, rule *policy.Rule, i int) *slip {
	if p.Tier != policy.NetworkPolicyTier || r.partial() {
		return nil // an item of a cluster policy has one field
	}
	peer := &rule.Peers[i]
	if peer.Kind != policy.PodPeer {
		return nil
	}
	if peer.Namespace == "" && len(peer.Pods) > 0 {
		return r.andSlip(p, peer)
	}
	if i+1 < len(rule.Peers) && rule.Peers[i+1].Kind == policy.PodPeer {
		next := &rule.Peers[i+1]
		switch {
		case peer.Namespace != "" && next.Namespace == "" && len(next.Pods) == 0:
			return r.orSlip(d, next, peer)
		case next.Namespace != "" && peer.Namespace == "" && len(peer.Pods) == 0:
			return r.orSlip(d, peer, next)
		}
	}
	return nil
}

// orSlip is for a namespaceSelector and a podSelector side by side, each for itself. It is suspicious
// where the pods are not in the policy's own namespace but in those selected, or where the
// namespaceSelector selects the own namespace too, so that the podSelector adds nothing.
func (r *run) orSlip(d flow.Direction, spaces, pods *policy.Peer) *slip {
	if len(pods.Pods) == 0 {
		return nil
	}
	in := r.namespaces(spaces.Namespaces)
	own := slices.ContainsFunc(in.sure, named(pods.Namespace))
	empty := len(r.search().Classes(pods)) == 0
	both := r.matching(pods.Pods, func(ns string) bool { return ns != pods.Namespace && slices.ContainsFunc(in.sure, named(ns)) })
	if !own && (!empty || both < 0) {
		return nil
	}
	where := "namespaces with " + spaces.Namespaces.String()
	switch {
	case len(spaces.Namespaces) == 0:
		where = "all namespaces"
	case len(in.sure) == 1 && len(in.perhaps) == 0:
		where = "namespace " + in.sure[0].Name
	}
	s := &slip{message: fmt.Sprintf("two items where one was probably meant: every pod of %s, or pods of %s with %s", where, pods.Namespace, pods.Pods)}
	if own {
		s.message += "; the second adds nothing to the first"
		if len(spaces.Namespaces) > 0 {
			s.message += ", which holds " + pods.Namespace
		}
	} else {
		s.message += "; no pod of " + pods.Namespace + " has that, and " + r.owner(both) + " has"
	}
	s.reason = "Whatever runs in " + where + " is let in"
	if d == flow.Egress {
		s.reason = "Everything that runs in " + where + " may be reached"
	}
	if more := r.beside(spaces, pods); len(more) > 0 {
		s.reason += ", " + list(more) + " too"
	}
	s.reason += "."
	s.fix = "Take away the dash before the second, so that both selectors stand in one item and both have to hold."
	return s
}

// maxBeside bounds how many classes of pods are named.
const maxBeside = 50

// beside names the workloads that a namespaceSelector lets in and that do not have the pods' labels.
func (r *run) beside(spaces, pods *policy.Peer) []string {
	var others []int
	for _, class := range r.search().Classes(spaces) {
		if !r.population().compare(1) || len(others) > maxBeside {
			break
		}
		if pods.Pods.Match(r.Model.Classes()[class].Labels, true) == policy.No {
			others = append(others, int(class))
		}
	}
	return r.workloads(others)
}

// andSlip is for both selectors in one item that together match nothing, while each by itself would: the
// pods are those of the policy's own namespace.
func (r *run) andSlip(p *policy.Policy, peer *policy.Peer) *slip {
	if len(r.search().Classes(peer)) > 0 {
		return nil
	}
	in := r.namespaces(peer.Namespaces)
	if len(in.sure) == 0 || len(in.perhaps) > 0 || slices.ContainsFunc(in.sure, named(p.Namespace)) {
		return nil
	}
	own := r.matching(peer.Pods, func(ns string) bool { return ns == p.Namespace })
	if own < 0 {
		return nil
	}
	populated := false
	for _, ns := range in.sure {
		populated = populated || len(r.population().classes[ns.Name]) > 0
		if r.nearest(peer.Pods, r.podLabels(ns.Name)) != nil {
			return nil // a typing error is likelier
		}
	}
	if !populated {
		return nil
	}
	return &slip{
		message: fmt.Sprintf("one item where two were probably meant: pods with %s in namespaces with %s, of which there are none; %s has it, in the policy's own namespace",
			peer.Pods, peer.Namespaces, r.owner(own)),
		reason: "Both selectors of an item have to hold, so nothing is allowed by it.",
		fix:    "Put a dash before each selector if pods of the policy's own namespace were meant beside those namespaces.",
	}
}

func named(name string) func(*cluster.Namespace) bool {
	return func(ns *cluster.Namespace) bool { return ns.Name == name }
}
