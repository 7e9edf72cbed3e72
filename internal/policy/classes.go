package policy

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/cluster"
)

// classes groups the pods. Classes are numbered in the order of their first pod, which the
// Snapshot's order makes independent of the input's.
func (c *compiler) classes() {
	m := c.m
	m.class = make([]int32, len(m.snap.Pods))
	for i := range m.snap.Pods {
		p := &m.snap.Pods[i]
		if p.HostNetwork {
			m.class[i] = -1
			continue
		}
		id := c.classFor(p)
		m.class[i] = int32(id)
		m.classes[id].Members = append(m.classes[id].Members, i)
	}
	for i := range m.classes {
		c.numberPorts(i)
	}
}

// classFor finds the class of a pod, or makes one without anything that applies to it.
func (c *compiler) classFor(p *cluster.Pod) int {
	ports := namedPorts(p.Ports)
	if p.Windows && c.m.opts.Behaviour.NoNamedPortsOnWindows {
		ports = nil
	}
	c.key = appendClassKey(c.key[:0], p, ports)
	id, ok := c.classIDs[string(c.key)]
	if !ok {
		id = len(c.m.classes)
		c.classIDs[string(c.key)] = id
		c.m.classes = append(c.m.classes, Class{Namespace: p.Namespace, Labels: p.Labels, Ports: ports})
		c.addToIndex(id, p)
	}
	return id
}

// numberPorts gives a class the number of its named ports.
func (c *compiler) numberPorts(class int) {
	cl := &c.m.classes[class]
	c.key = appendPorts(c.key[:0], cl.Ports)
	id, ok := c.portsIDs[string(c.key)]
	if !ok {
		id = len(c.portsIDs)
		c.portsIDs[string(c.key)] = id
	}
	cl.portsID = id
}

// namedPorts keeps what rules can refer to, sorted, so that the written order makes no classes.
func namedPorts(ports []cluster.ContainerPort) []cluster.ContainerPort {
	var out []cluster.ContainerPort
	for _, p := range ports {
		if p.Name != "" {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b cluster.ContainerPort) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Proto, b.Proto), cmp.Compare(a.Port, b.Port))
	})
	return slices.Compact(out)
}

func appendClassKey(key []byte, p *cluster.Pod, ports []cluster.ContainerPort) []byte {
	var room [16]string
	keys := room[:0]
	for k := range p.Labels {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	key = appendText(key, p.Namespace)
	key = binary.AppendUvarint(key, uint64(len(keys)))
	for _, k := range keys {
		key = appendText(appendText(key, k), p.Labels[k])
	}
	return appendPorts(key, ports)
}

func appendPorts(key []byte, ports []cluster.ContainerPort) []byte {
	for _, port := range ports {
		key = append(appendText(key, port.Name), byte(port.Proto))
		key = binary.BigEndian.AppendUint16(key, port.Port)
	}
	return key
}

// appendText writes a text with its length before it, so that no hostile label can make two
// different pods look alike.
func appendText(key []byte, s string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(s))), s...)
}

// labelIndex finds the classes of one namespace by label.
type labelIndex struct {
	all     []int
	byKey   map[string][]int
	byValue map[[2]string][]int
}

func (c *compiler) addToIndex(id int, p *cluster.Pod) {
	ix := c.index[p.Namespace]
	if ix == nil {
		ix = &labelIndex{byKey: map[string][]int{}, byValue: map[[2]string][]int{}}
		c.index[p.Namespace] = ix
	}
	ix.all = append(ix.all, id)
	for k, v := range p.Labels {
		ix.byKey[k] = append(ix.byKey[k], id)
		ix.byValue[[2]string{k, v}] = append(ix.byValue[[2]string{k, v}], id)
	}
}

// candidates gives the shortest list of classes, ascending, that holds every match of the selector.
func (ix *labelIndex) candidates(s Selector) []int {
	best := ix.all
	for _, r := range s {
		switch r.Operator {
		case metav1.LabelSelectorOpIn:
			best = ix.withValue(r, best)
		case metav1.LabelSelectorOpExists:
			if list := ix.byKey[r.Key]; len(list) < len(best) {
				best = list
			}
		}
	}
	return best
}

// withValue gives the classes that have one of the values, if they are fewer than those in best.
func (ix *labelIndex) withValue(r Requirement, best []int) []int {
	count := 0
	for _, v := range r.Values {
		if count += len(ix.byValue[[2]string{r.Key, v}]); count >= len(best) {
			return best
		}
	}
	if len(r.Values) == 1 {
		return ix.byValue[[2]string{r.Key, r.Values[0]}]
	}
	out := make([]int, 0, count)
	for _, v := range r.Values {
		out = append(out, ix.byValue[[2]string{r.Key, v}]...)
	}
	slices.Sort(out)
	return out
}

type nsMatch struct {
	name string
	got  Match
}

// namespaces gives the namespaces that have classes and that a selector matches at least perhaps.
func (c *compiler) namespaces(s Selector) []nsMatch {
	key := s.Key()
	if out, ok := c.matched[key]; ok {
		return out
	}
	if c.matched == nil {
		c.matched = map[string][]nsMatch{}
	}
	out := []nsMatch{}
	for _, name := range slices.Sorted(maps.Keys(c.index)) {
		if got := c.m.matchNamespace(s, name); got != No {
			out = append(out, nsMatch{name, got})
		}
	}
	c.matched[key] = out
	return out
}

// forClasses calls f for each class that a pair of selectors matches at least perhaps, in
// ascending order within a namespace. fixed, where set, stands for the namespace selector.
func (c *compiler) forClasses(fixed string, namespaces, pods Selector, f func(class int, got Match)) {
	in := []nsMatch{{fixed, Yes}}
	if fixed == "" {
		in = c.namespaces(namespaces)
	}
	for _, ns := range in {
		ix := c.index[ns.name]
		if ix == nil {
			continue
		}
		for _, id := range ix.candidates(pods) {
			if pods.Match(c.m.classes[id].Labels, true) == Yes {
				f(id, ns.got)
			}
		}
	}
}

// fillSets writes into each class which sets it is in, from one on. Sets come in ascending order, so
// that the lists are sorted.
func (c *compiler) fillSets(from int) {
	m := c.m
	for set := from; set < len(m.sets); set++ {
		s := &m.sets[set]
		c.forClasses(s.namespace, s.namespaces, s.pods, func(class int, got Match) { m.classes[class].join(int32(set), got) })
	}
}
