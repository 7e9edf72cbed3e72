package program

import (
	"maps"
	"slices"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/policy"
)

// Live is a program that follows its cluster and its node: at every moment what New makes of the same. An event costs what it
// changes. It is not for concurrent use.
type Live struct {
	policies *policy.Live
	b        *builder
	anew     bool // the table has to be made anew
}

// NewLive begins with what a cluster and a node are now; Take then gives everything.
func NewLive(p *policy.Live, n *Node) *Live {
	own := *n
	own.Interface = maps.Clone(n.Interface)
	return &Live{policies: p, b: build(p.Model(), &own)}
}

// Model is what the policies say now.
func (l *Live) Model() *policy.Model { return l.policies.Model() }

// SetPod adds a pod, or puts it in the place of the one with its name. A new one has no interface until SetNode gives it.
func (l *Live) SetPod(p cluster.Pod) {
	i, ok := l.policies.Pod(&p)
	same := ok && alike(&l.Model().Snapshot().Pods[i], &p)
	if ok && !same {
		l.forget(i)
	}
	if i = l.policies.SetPod(p); same || l.stale() {
		return
	}
	for _, end := range l.b.ends(i) {
		l.b.addEnd(end)
	}
	l.b.join(i)
}

// alike tells whether a table is the same for two pods with one name.
func alike(a, b *cluster.Pod) bool {
	return maps.Equal(a.Labels, b.Labels) && slices.Equal(a.Addrs, b.Addrs) && a.HostNetwork == b.HostNetwork && a.NodeName == b.NodeName &&
		a.Account == b.Account && slices.Equal(a.Ports, b.Ports) && a.Windows == b.Windows && a.Owner == b.Owner
}

// RemovePod forgets a pod.
func (l *Live) RemovePod(p *cluster.Pod) {
	if i, ok := l.policies.Pod(p); ok {
		l.forget(i)
		l.policies.RemovePod(p)
		delete(l.b.n.Interface, i)
	}
}

func (l *Live) forget(i int) {
	if l.stale() {
		return
	}
	l.b.leave(i)
	for _, end := range l.b.ends(i) {
		l.b.removeEnd(end)
	}
}

// SetNetworkPolicy adds a NetworkPolicy, or puts it in the place of the one with its name.
func (l *Live) SetNetworkPolicy(np cluster.NetworkPolicy) {
	touched := l.policies.SetNetworkPolicy(np)
	if p := l.Model().Policy(cluster.PolicyRef{Kind: "NetworkPolicy", Namespace: np.Object.Namespace, Name: np.Object.Name}); !l.b.space.Divides(p) {
		l.anew = true // addresses are told apart that were not before
	}
	l.regroup(touched)
}

// RemoveNetworkPolicy forgets a NetworkPolicy.
func (l *Live) RemoveNetworkPolicy(namespace, name string) {
	l.regroup(l.policies.RemoveNetworkPolicy(namespace, name))
}

// regroup asks anew about the pods here of some classes.
func (l *Live) regroup(classes []int) {
	if l.stale() {
		return
	}
	var pods []int
	for i := range l.b.locals {
		if slices.Contains(classes, l.Model().ClassOf(i)) {
			pods = append(pods, i)
		}
	}
	for _, i := range pods {
		l.b.leave(i)
	}
	for _, i := range pods {
		l.b.join(i)
	}
}

// Outgrown tells whether it is time to begin anew, as too much is kept of pods and policies that are gone.
func (l *Live) Outgrown() bool { return l.policies.Outgrown() || len(l.b.allowed) > 2*l.b.first+1_000 }

// Node is the name of the node.
func (l *Live) Node() string { return l.b.n.Name }

// SetNode changes what is known of the node: its name stays.
func (l *Live) SetNode(n *Node) {
	for _, list := range []struct {
		names []string
		by    int
	}{{n.Uplinks, 1}, {l.b.n.Uplinks, -1}} {
		for _, name := range list.names {
			l.b.e.count(l.b.e.sets[interfaces], Element{Interface: name}, list.by)
		}
	}
	l.b.n = n
	for pod, o := range l.b.locals {
		if o.link != n.Interface[pod] {
			o.link = n.Interface[pod]
			l.b.refreshPod(pod)
		}
	}
}

// stale tells whether everything is made anew when Take is called next, so that nothing need be followed until then: where access
// policies are projected into the network, and where most remotes have no ends any more and it is time to forget those.
func (l *Live) stale() bool {
	l.anew = l.anew || l.b.l != nil || l.b.empty > 1_000 && l.b.empty > len(l.b.remotes)/2
	return l.anew
}

// Take gives the table as it is now, and what changed since Take was called last. The elements of the table are the Live's own:
// they change with it.
func (l *Live) Take() (*Program, *Delta) {
	if l.anew {
		old := l.b
		l.b, l.anew = build(l.Model(), old.n), false
		l.b.e.follow(&old.e)
	}
	l.b.finish()
	d := l.b.e.take()
	return l.b.program(), d
}
