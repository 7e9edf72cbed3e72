package node

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
	"sallyport.dev/sallyport/internal/program"
)

// Node gives what a program needs to know of the node with a name in the Snapshot. Interfaces whose names the user gives are
// uplinks in any case. The texts say what is closed for want of a fact, and what escapes the filter; they are sorted.
func (f *Facts) Node(s *cluster.Snapshot, name string, uplinks []string) (*program.Node, []string) {
	q := &question{f: f, s: s, node: s.NodeIndex(name), uplinks: map[int]bool{}, towards: map[int]bool{}, pods: map[int][]int{}}
	if q.node < 0 {
		q.warn("node %s is not in the input: no pod counts as its own", names.Safe(name))
	}
	q.outward(uplinks)
	q.findPods()
	q.routed()
	n := &program.Node{Name: name, Uplinks: q.uplinkNames(), Interface: map[int]string{}}
	for i, pods := range q.pods {
		for _, pod := range pods {
			n.Interface[pod] = f.links[i].name
		}
	}
	q.warnOfLinks()
	slices.Sort(q.warnings)
	return n, slices.Compact(q.warnings)
}

// question is one call of Node.
type question struct {
	f        *Facts
	s        *cluster.Snapshot
	node     int // its index, or -1
	uplinks  map[int]bool
	towards  map[int]bool  // links that lead to local pods
	pods     map[int][]int // the pods that have such a link, by it
	warnings []string
}

func (q *question) warn(format string, args ...any) {
	q.warnings = append(q.warnings, fmt.Sprintf(format, args...))
}

func (f *Facts) safe(index int) string { return names.Safe(f.links[index].name) }

// local tells whether a pod is one that is enforced here.
func (q *question) local(p *cluster.Pod) bool {
	return q.node >= 0 && p.NodeName == q.s.Nodes[q.node].Name && !p.HostNetwork && !p.Template
}

// findPods finds the links of the pods here.
func (q *question) findPods() {
	for i := range q.s.Pods {
		if p := &q.s.Pods[i]; q.local(p) && len(p.Addrs) > 0 {
			if at := q.findPod(p); at != 0 {
				q.pods[at] = append(q.pods[at], i)
			}
		}
	}
}

// findPod gives the link of a pod, or 0.
func (q *question) findPod(p *cluster.Pod) int {
	var found []int
	var lost []string
	for _, a := range p.Addrs {
		at, why := q.reach(a)
		switch {
		case at == 0:
			lost = append(lost, why)
		case !slices.Contains(found, at):
			found = append(found, at)
		}
	}
	pod, until := "pod "+names.Safe(p.Namespace+"/"+p.Name), ""
	if len(found) == 0 {
		until = ": closed until one does"
	}
	if !p.Terminating { // one that ends may have lost its interface already
		for _, why := range lost {
			q.warn("%s: %s%s", pod, why, until)
		}
	}
	switch {
	case len(found) == 0:
		return 0
	case len(found) > 1:
		q.warn("%s: its addresses lead to %s and to %s: closed until they lead to one interface", pod, q.f.safe(found[0]), q.f.safe(found[1]))
		return 0
	case !program.IsInterface(q.f.links[found[0]].name):
		q.warn("%s: nft cannot name the interface %s that leads to it: closed until it has another name", pod, q.f.safe(found[0]))
		return 0
	}
	return found[0]
}

// reach gives the link that leads to an address of a local pod, or 0 and why there is none. Where no route does, what somebody
// wrote down for good of a neighbour on a bridge counts; what the kernel heard there does not, as any pod can say that it has any
// address.
func (q *question) reach(a netip.Addr) (at int, why string) {
	at, _ = q.f.leads(a)
	why = fmt.Sprintf("no interface leads to its address %s", a)
	if q.uplinks[at] {
		why = fmt.Sprintf("no interface of a pod leads to its address %s (%s does, by which others are reached)", a, q.f.safe(at))
		at = 0
	}
	if at == 0 {
		at = q.f.seen(q.f.neighbours[a])
	}
	if at == 0 || q.uplinks[at] {
		return 0, why
	}
	q.towards[at] = true
	return at, ""
}

// uplinkNames lists the uplinks that can be named, sorted.
func (q *question) uplinkNames() []string {
	var out []string
	for i := range q.uplinks {
		if name := q.f.links[i].name; program.IsInterface(name) {
			out = append(out, name)
		} else {
			q.warn("nft cannot name the interface %s, which leads to others: what comes or goes by it is dropped", q.f.safe(i))
		}
	}
	if len(out) == 0 {
		q.warn("no interface leads to other nodes or the world: all that comes from outside is dropped; name one as an uplink")
	}
	slices.Sort(out)
	return out
}

func (f *Facts) has(name string) bool {
	for l := range maps.Values(f.links) {
		if l.name == name {
			return true
		}
	}
	return false
}
