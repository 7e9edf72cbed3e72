package lint

import (
	"fmt"
	"slices"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// pairRules are about rules that one end has and the other end refuses (S18).
var pairRules = []*Rule{
	{ID: "one-sided", Severity: Warning, Title: "a rule allows connections that the other end refuses", check: oneSided},
	{ID: "no-common-port", Severity: Warning, Title: "both ends allow a connection, but on no port in common", check: noCommonPort},
}

// maxPairs bounds the pairs of classes that are looked at for one item of a rule; one that selects more
// is broad.
const maxPairs = 2_000

// pair is a subject of a rule and a pod that the rule names, by class.
type pair struct{ subject, peer int }

// refusal is an item of a rule of which every pair is refused by the other end.
type refusal struct {
	policy    *policy.Policy
	d         flow.Direction
	rule      *policy.Rule
	item      int
	pairs     []pair
	asked     netset.PortSet // what the rule allows, over all pairs
	other     netset.PortSet // what the other end allows instead, over all pairs
	elsewhere bool           // it allows something to each pair, but nothing that the subject may use
	witness   flow.Flow
}

func oneSided(r *run) {
	for _, x := range r.refusals() {
		if x.elsewhere {
			continue
		}
		subjects, peers := r.ends(x.pairs)
		message := fmt.Sprintf("lets %s out to %s on %s, where ingress refuses that", list(subjects), list(peers), portList(x.asked))
		if x.d == flow.Ingress {
			message = fmt.Sprintf("lets in %s to %s on %s, but their own egress refuses that", list(peers), list(subjects), portList(x.asked))
		}
		r.add(onPolicy(x.policy, x.path(), message, fmt.Sprintf("A connection needs both ends, and the other one is %s.", r.refusedBy(&x)),
			"Allow it at the other end too, or take it out here."))
	}
}

func noCommonPort(r *run) {
	said := map[pair]bool{}
	for _, d := range flow.Directions {
		for _, x := range r.refusals() {
			if x.d != d || !x.elsewhere || !slices.ContainsFunc(x.pairs, func(p pair) bool { return !said[connection(p, d)] }) {
				continue
			}
			for _, p := range x.pairs {
				said[connection(p, d)] = true
			}
			subjects, peers := r.ends(x.pairs)
			message := fmt.Sprintf("lets %s out to %s on %s, but they are let in there on %s only", list(subjects), list(peers), portList(x.asked), portList(x.other))
			if d == flow.Ingress {
				message = fmt.Sprintf("lets in %s to %s on %s, but they are let out there on %s only", list(peers), list(subjects), portList(x.asked), portList(x.other))
			}
			r.add(onPolicy(x.policy, x.path(), message, "A connection needs the same port at both ends, so none can be opened.", "Name the same ports in both policies."))
		}
	}
}

// connection names a pair by source and destination.
func connection(p pair, d flow.Direction) pair {
	if d == flow.Ingress {
		return pair{p.peer, p.subject}
	}
	return p
}

func portList(s netset.PortSet) string {
	if s.Equal(netset.EveryPort()) {
		return "every port"
	}
	return list(s.Strings())
}

func (x *refusal) path() string { return x.policy.RuleID(x.d, x.rule.Index, x.item, -1).Path() }

// ends names both sides of pairs.
func (r *run) ends(pairs []pair) (subjects, peers []string) {
	var a, b []int
	for _, p := range pairs {
		a, b = append(a, p.subject), append(b, p.peer)
	}
	return r.workloads(compact(a)), r.workloads(compact(b))
}

func compact(list []int) []int {
	slices.Sort(list)
	return slices.Compact(list)
}

// refusedBy says what refuses the witness of a refusal.
func (r *run) refusedBy(x *refusal) string {
	f, ok := r.onDenial(&x.witness, x.otherEnd(), "", "", "")
	if !ok {
		return "closed"
	}
	if f.Path != "" {
		return "denied by " + f.Object.String() + ", " + f.Path
	}
	return "isolated by " + f.Object.String() + " and no rule allows it"
}

func (x *refusal) otherEnd() flow.Direction { return flow.Egress + flow.Ingress - x.d }

// refusals finds the items of NetworkPolicies' rules that name pods, of which every pair is refused by
// the other end. What names any pod, or too many to look at, is broad, and judged by nobody.
func (r *run) refusals() []refusal {
	if r.facts.refused == nil {
		r.facts.refused = []refusal{}
		for _, p := range r.Model.Policies() {
			for _, d := range flow.Directions {
				if p.Tier == policy.NetworkPolicyTier {
					r.refusalsOf(p, d)
				}
			}
		}
	}
	return r.facts.refused
}

func (r *run) refusalsOf(p *policy.Policy, d flow.Direction) {
	rules := p.Rules(d)
	subjects := r.search().Subjects(p, d)
	for i := range rules {
		for j := range rules[i].Peers {
			peer := &rules[i].Peers[j]
			peers := r.search().Classes(peer)
			broad := len(peer.Pods) == 0 && len(peer.Namespaces) == 0 || len(subjects)*len(peers) > maxPairs
			if broad {
				continue
			}
			x := refusal{policy: p, d: d, rule: &rules[i], item: j, elsewhere: true}
			if r.everyPairRefused(&x, subjects, peers) {
				r.facts.refused = append(r.facts.refused, x)
			}
		}
	}
}

// everyPairRefused looks at the pairs of an item until one is not refused, or not surely.
func (r *run) everyPairRefused(x *refusal, subjects []int, peers []int32) bool {
	for _, subject := range subjects {
		for _, peer := range peers {
			if !r.pairRefused(x, pair{subject, int(peer)}) {
				return false
			}
		}
	}
	return len(x.pairs) > 0
}

// pairRefused tells whether the other end of a pair surely refuses all that the item allows. A pair to
// which the item allows nothing, such as a port that is not declared, does not count for or against.
func (r *run) pairRefused(x *refusal, p pair) bool {
	offered, open, common := netset.PortSet{}, netset.PortSet{}, false
	for _, from := range r.search().Pods(p.subject) {
		to, ok := r.anyPod(p.peer, from.Family, from.Index)
		if !ok {
			continue
		}
		f := flow.Flow{From: from.End, To: to.End, Family: from.Family}
		if x.d == flow.Ingress {
			f.From, f.To = f.To, f.From
		}
		for _, piece := range r.pieces(&f, p, x.d) {
			f.Proto, f.Port = piece.Proto, piece.Range.First
			offers := r.itemMatch(x, &f)
			switch v := r.decided(&f, x.otherEnd()); {
			case offers == policy.Maybe, v == flow.Allowed && offers == policy.Yes, v == flow.Unknown, v == flow.Ambiguous:
				return false
			case v == flow.Allowed:
				open.Add(piece.Proto, piece.Range)
				common = common || r.decided(&f, x.d) != flow.Denied
			case offers == policy.Yes:
				offered.Add(piece.Proto, piece.Range)
				if x.witness.Family == 0 {
					x.witness = f
				}
			}
		}
	}
	if !offered.Empty() {
		x.pairs = append(x.pairs, p)
		x.asked, x.other = x.asked.Union(offered), x.other.Union(open)
		x.elsewhere = x.elsewhere && !open.Empty() && !common
	}
	return true
}

// pieces divides the ports so that neither end tells those of a piece apart.
func (r *run) pieces(f *flow.Flow, p pair, d flow.Direction) []netset.Entry {
	source, dest := p.subject, p.peer
	if d == flow.Ingress {
		source, dest = dest, source
	}
	var cuts policy.Cuts
	cuts.Add(r.Model, source, dest, flow.Egress)
	cuts.Add(r.Model, dest, dest, flow.Ingress)
	var out []netset.Entry
	for _, proto := range netset.Protos {
		for _, x := range cuts.Ranges(proto, netset.AllPorts) {
			out = append(out, netset.Entry{Proto: proto, Range: x})
		}
	}
	return out
}

// itemMatch compares the item of the rule with a flow, as if it stood alone.
func (r *run) itemMatch(x *refusal, f *flow.Flow) policy.Match {
	q, _, ok := r.Model.NewQuery(f, x.d)
	if !ok {
		return policy.No
	}
	alone := policy.Rule{Action: policy.Accept, Peers: x.rule.Peers[x.item : x.item+1], Ports: x.rule.Ports}
	return r.Model.Match(&alone, &q)
}
