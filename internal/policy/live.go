package policy

import (
	"cmp"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
)

// Live is a Model that follows its cluster while pods and NetworkPolicies come and go one by one: what it says is at every
// moment what Compile says of the same objects, except for the numbers of pods, classes and sets. Its Snapshot is its own, and
// neither sorted nor without gaps: a pod that is gone leaves a place that belongs to no class. It is not for concurrent use.
type Live struct {
	c  compiler
	at map[podName]int // indices of pods
	// free are the places of pods that are gone.
	free []int
	// in lists the NetworkPolicies of a namespace by name, and wide the cluster policies in tier order.
	in   map[string][]*Policy
	wide []*Policy
	// fixed are the sets whose namespace is given, by it; open are all others.
	fixed map[string][]int
	open  []int
	// first is how many classes and sets there were in the beginning.
	first int
}

type podName struct {
	namespace, name string
	template        bool
	replica         int
}

func nameOf(p *cluster.Pod) podName { return podName{p.Namespace, p.Name, p.Template, p.Replica} }

// NewLive begins with a Snapshot, of which it keeps a copy. Options with a Behaviour are not for it: nodes enforce the rules as
// docs/semantics.md has them.
func NewLive(s *cluster.Snapshot, opts Options) *Live {
	own := *s
	own.Pods, own.NetworkPolicies = slices.Clone(s.Pods), slices.Clone(s.NetworkPolicies)
	opts.Behaviour = Behaviour{}
	l := &Live{at: map[podName]int{}, in: map[string][]*Policy{}, fixed: map[string][]int{}}
	l.c = compile(&own, opts)
	for i := range own.Pods {
		l.at[nameOf(&own.Pods[i])] = i
	}
	for _, p := range l.c.m.policies {
		if p.Tier == NetworkPolicyTier {
			l.in[p.Namespace] = append(l.in[p.Namespace], p)
			continue
		}
		l.wide = append(l.wide, p)
	}
	l.indexSets(0)
	l.first = l.size()
	return l
}

func (l *Live) size() int { return len(l.c.m.classes) + len(l.c.m.sets) }

// Outgrown tells whether it is time to begin anew: classes without pods and sets that no rule names are kept, and there are more than
// twice as many as in the beginning.
func (l *Live) Outgrown() bool { return l.size() > 2*l.first+1_000 }

// Model is what the policies say now. It changes with the Live.
func (l *Live) Model() *Model { return l.c.m }

// Pod finds a pod by another that has the same name.
func (l *Live) Pod(p *cluster.Pod) (index int, ok bool) {
	index, ok = l.at[nameOf(p)]
	return index, ok
}

// indexSets sorts the sets from one on.
func (l *Live) indexSets(from int) {
	for i := from; i < len(l.c.m.sets); i++ {
		if ns := l.c.m.sets[i].namespace; ns != "" {
			l.fixed[ns] = append(l.fixed[ns], i)
			continue
		}
		l.open = append(l.open, i)
	}
}

// SetPod adds a pod, or puts it in the place of the one with its name, and gives its index.
func (l *Live) SetPod(p cluster.Pod) int {
	m := l.c.m
	i, ok := l.at[nameOf(&p)]
	switch {
	case ok:
		l.leave(i)
	case len(l.free) > 0:
		i, l.free = l.free[len(l.free)-1], l.free[:len(l.free)-1]
	default:
		i = len(m.snap.Pods)
		m.snap.Pods, m.class = append(m.snap.Pods, cluster.Pod{}), append(m.class, -1)
	}
	l.at[nameOf(&p)] = i
	m.snap.Pods[i] = p
	if !p.HostNetwork {
		id := l.class(&m.snap.Pods[i])
		m.class[i] = int32(id)
		m.classes[id].Members = append(m.classes[id].Members, i)
	}
	return i
}

// RemovePod forgets a pod, and tells whether it was there.
func (l *Live) RemovePod(p *cluster.Pod) bool {
	i, ok := l.at[nameOf(p)]
	if !ok {
		return false
	}
	l.leave(i)
	delete(l.at, nameOf(p))
	l.c.m.snap.Pods[i] = cluster.Pod{}
	l.free = append(l.free, i)
	return true
}

// leave takes a pod out of its class.
func (l *Live) leave(i int) {
	m := l.c.m
	if id := m.class[i]; id >= 0 {
		c := &m.classes[id]
		at := slices.Index(c.Members, i)
		c.Members[at] = c.Members[len(c.Members)-1]
		c.Members = c.Members[:len(c.Members)-1]
	}
	m.class[i] = -1
}

// class finds the class of a pod, or makes it.
func (l *Live) class(p *cluster.Pod) int {
	before := len(l.c.m.classes)
	if l.c.index[p.Namespace] == nil {
		l.c.matched = nil // its first class makes a namespace one that selectors may match
	}
	id := l.c.classFor(p)
	if id < before {
		return id
	}
	l.c.numberPorts(id)
	l.apply(id)
	l.fill(id, l.fixed[p.Namespace])
	l.fill(id, l.open)
	c := &l.c.m.classes[id]
	slices.Sort(c.yes)
	slices.Sort(c.maybe)
	l.c.foreignOf(id)
	return id
}

// apply lists what applies to a new class.
func (l *Live) apply(id int) {
	c := &l.c.m.classes[id]
	for _, p := range l.in[c.Namespace] {
		if p.Pods.Match(c.Labels, true) == Yes {
			c.isolate(p)
		}
	}
	for _, p := range l.wide {
		if got := l.c.m.matchNamespace(p.Namespaces, c.Namespace); got != No && p.Pods.Match(c.Labels, true) == Yes {
			c.apply(p, got)
		}
	}
}

// fill notes which of some sets a new class is in.
func (l *Live) fill(id int, sets []int) {
	c := &l.c.m.classes[id]
	for _, set := range sets {
		s := &l.c.m.sets[set]
		if s.pods.Match(c.Labels, true) != Yes {
			continue
		}
		got := Yes
		if s.namespace == "" {
			got = l.c.m.matchNamespace(s.namespaces, c.Namespace)
		}
		c.join(int32(set), got)
	}
}

// SetNetworkPolicy adds a NetworkPolicy, or puts it in the place of the one with its name, and gives the classes for which that
// may make a difference, ascending.
func (l *Live) SetNetworkPolicy(np cluster.NetworkPolicy) []int {
	ref := cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: np.Object.Namespace, Name: np.Object.Name}
	touched := l.RemoveNetworkPolicy(ref.Namespace, ref.Name)
	m := l.c.m
	before := len(m.sets)
	p := l.c.networkPolicy(&np)
	l.indexSets(before)
	l.c.fillSets(before)
	at, _ := slices.BinarySearchFunc(m.snap.NetworkPolicies, ref, compareSnapshotPolicy)
	m.snap.NetworkPolicies = slices.Insert(m.snap.NetworkPolicies, at, np)
	m.policies = slices.Insert(m.policies, at, p) // they begin with the NetworkPolicies, in the same order
	l.number(at)
	in := l.in[p.Namespace]
	k, _ := slices.BinarySearchFunc(in, ref.Name, comparePolicyName)
	l.in[p.Namespace] = slices.Insert(in, k, p)
	l.c.forClasses(p.Namespace, nil, p.Pods, func(class int, _ Match) {
		m.classes[class].isolate(p)
		touched = append(touched, class)
	})
	slices.Sort(touched)
	return slices.Compact(touched)
}

// RemoveNetworkPolicy forgets a NetworkPolicy, and gives the classes that it selected.
func (l *Live) RemoveNetworkPolicy(namespace, name string) (touched []int) {
	m := l.c.m
	at, ok := slices.BinarySearchFunc(m.snap.NetworkPolicies, cluster.PolicyRef{Namespace: namespace, Name: name}, compareSnapshotPolicy)
	if !ok {
		return nil
	}
	p := m.policies[at]
	m.snap.NetworkPolicies = slices.Delete(m.snap.NetworkPolicies, at, at+1)
	m.policies = slices.Delete(m.policies, at, at+1)
	l.number(at)
	l.in[namespace] = slices.DeleteFunc(l.in[namespace], func(q *Policy) bool { return q == p })
	l.c.forClasses(namespace, nil, p.Pods, func(class int, _ Match) {
		c := &m.classes[class]
		for d := range c.subject {
			c.subject[d].Policies = slices.DeleteFunc(c.subject[d].Policies, func(q *Policy) bool { return q == p })
		}
		touched = append(touched, class)
	})
	return touched
}

// number gives the policies from one on their numbers anew.
func (l *Live) number(from int) {
	for i := from; i < len(l.c.m.policies); i++ {
		l.c.m.policies[i].number = i
	}
}

func compareSnapshotPolicy(np cluster.NetworkPolicy, ref cluster.PolicyRef) int {
	return cmp.Or(strings.Compare(np.Object.Namespace, ref.Namespace), strings.Compare(np.Object.Name, ref.Name))
}

func comparePolicyName(p *Policy, name string) int { return strings.Compare(p.Ref.Name, name) }

// isolate adds a NetworkPolicy to the class's lists, by name.
func (c *Class) isolate(p *Policy) {
	for _, d := range flow.Directions {
		if !p.Applies(d) {
			continue
		}
		s := c.Subject(d)
		at, _ := slices.BinarySearchFunc(s.Policies, p.Ref.Name, comparePolicyName)
		s.Policies = slices.Insert(s.Policies, at, p)
	}
}

// join notes that the class is in a set, surely or perhaps.
func (c *Class) join(set int32, got Match) {
	switch got {
	case Yes:
		c.yes = append(c.yes, set)
	case Maybe:
		c.maybe = append(c.maybe, set)
	}
}
