package expect

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/analyze"
	"sallyport.dev/sallyport/internal/eval"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
	"sallyport.dev/sallyport/internal/question"
)

// Run evaluates tests over one cluster, in order. The errors are of tests that cannot be evaluated, such as
// one that names something that is not there; results is then empty.
func Run(r *question.Resolver, tests []Test) (results []Result, errs []error) {
	run := &running{resolver: r}
	finder := &resolver{Resolver: r, known: map[endKey]*set{}}
	for i := range tests {
		t, err := newResolved(finder, &tests[i])
		if err != nil {
			errs = append(errs, &Error{tests[i].Origin, tests[i].Name, err})
			continue
		}
		run.tests = append(run.tests, t)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	run.analyse(tests)
	for _, t := range run.tests {
		result, err := run.evaluate(t)
		if err != nil {
			errs = append(errs, &Error{t.Origin, t.Name, err})
		}
		results = append(results, result)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return results, nil
}

// resolved is a test with what its ends stand for.
type resolved struct {
	*Test
	from, to []*set
	unknown  []string
}

func newResolved(finder *resolver, t *Test) (out *resolved, err error) {
	out = &resolved{Test: t}
	if out.from, err = finder.sets(t.From, true); err != nil {
		return nil, err
	}
	if out.to, err = finder.sets(t.To, false); err != nil {
		return nil, err
	}
	for _, s := range slices.Concat(out.from, out.to) {
		out.unknown = append(out.unknown, s.unknown...)
	}
	slices.Sort(out.unknown)
	out.unknown = slices.Compact(out.unknown)
	return out, nil
}

// running is one Run. Its parties are workloads, divided where a test speaks of some of their pods only, and
// pieces of the outside, divided by every CIDR of the tests: a set holds all of a party or nothing of it, also of a piece
// that is a source of services only.
type running struct {
	resolver *question.Resolver
	tests    []*resolved
	reach    *analyze.Reach
	pod      []int // by party: one of its pods, or -1
}

func (run *running) analyse(tests []Test) {
	snap := run.resolver.Model.Snapshot()
	marks := make([]strings.Builder, len(snap.Pods))
	signed := map[*set]bool{}
	for _, t := range run.tests {
		for _, s := range slices.Concat(t.from, t.to) {
			if !signed[s] {
				s.sign(marks, len(signed))
				signed[s] = true
			}
		}
	}
	space, outside := run.resolver.Divided(prefixes(tests))
	run.reach = analyze.New(run.resolver.Model, space, analyze.Options{Outside: outside, Services: run.resolver.Services(space, outside),
		Strangers: run.strangers(outside), Split: func(pod int) string { return marks[pod].String() }})
	run.pod = slices.Repeat([]int{-1}, len(run.reach.Parties))
	for i := range snap.Pods {
		run.pod[run.reach.PartyOf(i)] = i
	}
}

// strangers divides the outside as a source of services, also where it is in a source of a test about one and where not.
func (run *running) strangers(outside []policy.Region) *analyze.Strangers {
	asked := false
	var named []*set
	for _, t := range run.tests {
		if !slices.ContainsFunc(t.to, func(s *set) bool { return s.service > 0 }) {
			continue
		}
		asked = true
		for _, s := range t.from {
			if len(s.regions) > 0 && !slices.Contains(named, s) {
				named = append(named, s)
			}
		}
	}
	if !asked {
		return nil
	}
	in := func(a netip.Addr) string {
		key := make([]byte, len(named))
		for i, s := range named {
			if s.has(a) {
				key[i] = 1
			}
		}
		return string(key)
	}
	return analyze.NewStrangers(outside, in, run.resolver.Layers())
}

// in tells whether a party is in a set, and what is asked there.
func (run *running) in(s *set, party int) (ports netset.PortSet, ok bool) {
	if pod := run.pod[party]; pod >= 0 {
		ports, ok = s.pods[pod]
		return ports, ok
	}
	if service := run.reach.Parties[party].Service; service > 0 || s.service > 0 {
		return s.ports, service == s.service
	}
	cidrs := run.reach.Parties[party].CIDRs
	if len(cidrs) == 0 {
		return netset.PortSet{}, false
	}
	return s.ports, s.has(cidrs[0].Addr())
}

// sources lists the parties from which connections are compared: those named, or for Only all others.
// HostNetwork pods are not among these: their node always reaches its own pods (S22).
func (run *running) sources(t *resolved) []int {
	var out []int
	for party := range run.reach.Parties {
		named := slices.ContainsFunc(t.from, func(s *set) bool { _, ok := run.in(s, party); return ok })
		pod := run.pod[party]
		host := pod >= 0 && run.resolver.Model.Snapshot().Pods[pod].HostNetwork
		opensNothing := run.reach.Parties[party].Service > 0
		if named != (t.Kind == Only) && (t.Kind != Only || !host) && !opensNothing {
			out = append(out, party)
		}
	}
	return out
}

// asked is what a test asks at a destination.
type asked struct {
	party   int
	ports   netset.PortSet
	anyPort bool // one open port is a connection
}

func (run *running) destinations(t *resolved) []asked {
	var out []asked
	for party := range run.reach.Parties {
		a := asked{party: party}
		found := false
		for _, s := range t.to {
			if ports, ok := run.in(s, party); ok {
				found = true
				a.ports, a.anyPort = a.ports.Union(ports), a.anyPort || s.anyPort
			}
		}
		if found {
			out = append(out, a)
		}
	}
	return out
}

func (run *running) evaluate(t *resolved) (Result, error) {
	out := Result{Test: t.Test, Unknown: t.unknown}
	failing := flow.Allowed
	if t.Kind == Allow {
		failing = flow.Denied
	}
	var fails, unsure []Against
	sources, destinations := run.sources(t), run.destinations(t)
	paired := map[int]bool{}
	for _, from := range sources {
		for i := range destinations {
			to := &destinations[i]
			if run.reach.Unasked(from, to.party) {
				continue
			}
			decisions := run.reach.Decisions(from, to.party)
			if len(decisions) == 0 {
				continue
			}
			out.Pairs++
			paired[from], paired[to.party] = true, true
			f, u := against(t.Kind, decisions, to)
			fails = run.note(fails, from, to, f, failing)
			unsure = run.note(unsure, from, to, u, flow.Unknown, flow.Ambiguous)
		}
	}
	if out.Pairs == 0 && t.Kind != Only && len(t.unknown) == 0 { // for Only it means that there is nobody else
		return out, errors.New("it is about no connection at all: its ends are one pod, or share no address family")
	}
	if t.Kind == Allow && len(t.unknown) == 0 {
		if err := run.unpaired(sources, destinations, paired); err != nil {
			return out, err
		}
	}
	list := fails
	switch {
	case len(fails) > 0:
		out.Status = Fails
	case len(unsure) > 0:
		out.Status, list = Undecided, unsure
	case len(t.unknown) > 0:
		out.Status = Undecided
	default:
		out.Status = Holds
	}
	out.Against = list[:min(len(list), MaxAgainst)]
	out.More = len(list) - len(out.Against)
	return out, nil
}

// unpaired refuses a pod that shares no address family with any end on the other side: nothing is allowed
// to it, and nothing was compared. A pod on both sides may be alone with itself.
func (run *running) unpaired(sources []int, destinations []asked, paired map[int]bool) error {
	sides := map[int]int{}
	for _, party := range sources {
		sides[party]++
	}
	for i := range destinations {
		sides[destinations[i].party]++
	}
	for party := range run.reach.Parties {
		if sides[party] == 1 && !paired[party] && run.pod[party] >= 0 {
			return fmt.Errorf("%s shares no address family with any end on the other side, so nothing can be allowed", run.reach.Parties[party].Name)
		}
	}
	return nil
}

// against compares what an expectation says of one pair with the decisions on it: the ports that fail, and
// those that are not decided.
func against(k Kind, decisions []analyze.Ports, to *asked) (fails, unsure netset.PortSet) {
	for _, d := range decisions {
		allowed, open := d.Allowed.Intersect(to.ports), d.Open().Intersect(to.ports)
		doubtful, closed := open.Minus(allowed), to.ports.Minus(open)
		switch {
		case k != Allow:
			fails, unsure = fails.Union(allowed), unsure.Union(doubtful)
		case to.anyPort && !allowed.Empty():
		case to.anyPort && !open.Empty():
			unsure = unsure.Union(doubtful)
		default:
			fails, unsure = fails.Union(closed), unsure.Union(doubtful)
		}
	}
	return fails, unsure
}

// note adds a pair to a list; only the first ones are kept in full.
func (run *running) note(list []Against, from int, to *asked, ports netset.PortSet, shown ...flow.Verdict) []Against {
	if ports.Empty() {
		return list
	}
	a := Against{From: run.reach.Parties[from].Name, To: run.reach.Parties[to.party].Name, Ports: ports}
	if len(list) < MaxAgainst {
		a.Decision, a.Layers = run.shown(from, to.party, ports, shown)
	}
	return append(list, a)
}

// shown decides one flow that has one of the verdicts on one of the ports.
func (run *running) shown(from, to int, ports netset.PortSet, verdicts []flow.Verdict) (eval.Decision, *layers.Decision) {
	row := analyze.Row{From: from, To: to}
	for _, e := range ports.Entries() {
		for _, v := range verdicts {
			if w, ok := run.reach.Witness(&row, v, e.Proto, e.Range.First); ok {
				return run.reach.Decide(&w, run.reach.Parties[to].Service-1)
			}
		}
	}
	return eval.Decision{}, nil
}
