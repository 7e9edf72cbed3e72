package world

import (
	"fmt"
	"net/netip"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/internal/cluster"
)

// The vocabularies. Addresses 10.0.0.0/16 are the pods', 10.1.0.0/24 the nodes'; every IPv6 address
// and block is the image of an IPv4 one in fd00::/96 (MirrorFamilies), with a few exceptions.
var (
	namespaceNames = []string{"blue", "green", "grey", "red"}
	nodeNames      = []string{"n1", "n2", "n3"}
	podAddrs       = []string{"10.0.0.1", "10.0.1.1", "10.0.0.5", "10.0.0.6", "10.0.1.5", "10.0.2.1", "10.0.0.2", "10.0.1.2"}
	nodeAddrs      = []string{"10.1.0.1", "10.1.0.2", "10.1.0.129"}
	nodePodCIDRs   = []string{"10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/23"}
	otherAddrs     = []string{"203.0.113.9", "10.0.0.9", "10.1.0.9", "169.254.169.254", "168.63.129.16", "203.0.113.200",
		"10.0.1.77", "8.8.8.8"}
	portNumbers = []uint16{80, 8080, 53, 443, 1, 65535, 32526, 81}
	portNames   = []string{"http", "dns", "none"}
)

// ints[n] draws from 0 to n-1, shrinking to 0.
var ints = func() (g [65]*rapid.Generator[int]) {
	for n := 1; n < len(g); n++ {
		g[n] = rapid.IntRange(0, n-1)
	}
	return g
}()

// pick draws one of a list, shrinking to the first; a weight is a repetition.
func pick[T any](t *rapid.T, label string, from ...T) T { return from[ints[len(from)].Draw(t, label)] }

// oneIn is true once in n times, shrinking to false.
func oneIn(t *rapid.T, n int, label string) bool { return ints[n].Draw(t, label) == n-1 }

func mirrored(addr string) string { return mirrorAddr(netip.MustParseAddr(addr)).String() }

// Draw draws a world in which everything is evaluated.
func Draw(t *rapid.T) World {
	var w World
	namespaces := namespaceNames[:pick(t, "namespaces", 2, 3, 3, 4)]
	for _, name := range namespaces {
		if oneIn(t, 6, "no object of namespace "+name) {
			continue
		}
		w.Namespaces = append(w.Namespaces, corev1.Namespace{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: drawLabels(t)},
		})
	}
	for i := range pick(t, "nodes", 0, 1, 2, 2, 3, 3) {
		w.Nodes = append(w.Nodes, drawNode(t, i))
	}
	for i := range pick(t, "pods", 2, 3, 3, 4, 4, 5, 1) {
		w.drawPod(t, namespaces, i)
	}
	// Most policies are where pods are.
	var homes []string
	for _, p := range w.Pods {
		homes = append(homes, p.Namespace, p.Namespace)
	}
	for _, d := range w.Deployments {
		homes = append(homes, d.Namespace, d.Namespace)
	}
	homes = append(homes, pick(t, "namespace", namespaces...))
	for i := range pick(t, "network policies", 0, 1, 2, 2, 3, 3, 4) {
		w.NetworkPolicies = append(w.NetworkPolicies, drawNetworkPolicy(t, pick(t, "namespace", homes...), i))
	}
	for i := range pick(t, "cluster policies", 0, 0, 1, 2, 3, 3, 4) {
		w.drawClusterPolicy(t, i)
	}
	if oneIn(t, 12, "pod range as a fact") {
		w.PodCIDRs = append(w.PodCIDRs, netip.MustParsePrefix(pick(t, "pod range", "10.0.0.0/16", "10.0.0.0/24", "fd00::a00:0/112")))
	}
	return w
}

func drawLabels(t *rapid.T) map[string]string {
	n := ints[9].Draw(t, "labels")
	labels := map[string]string{}
	for i, key := range []string{"app", "env"} {
		if value := []int{n % 3, n / 3}[i]; value > 0 {
			labels[key] = []string{"", "x", "z"}[value]
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// families tells which families an object has: the sorted order of status.podIPs is not given.
func families(t *rapid.T) (v4, v6 bool) {
	f := pick(t, "families", 0, 0, 1, 1, 2)
	return f != 2, f != 0
}

func both(t *rapid.T, addr string) []string {
	v4, v6 := families(t)
	var out []string
	if v4 {
		out = append(out, addr)
	}
	if v6 {
		out = append(out, mirrored(addr))
	}
	return out
}

func drawNode(t *rapid.T, i int) corev1.Node {
	n := corev1.Node{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Node"},
		ObjectMeta: metav1.ObjectMeta{Name: nodeNames[i], Labels: drawLabels(t)},
	}
	if !oneIn(t, 5, "node without addresses") {
		for _, a := range both(t, nodeAddrs[i]) {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
	}
	switch cidr := nodePodCIDRs[i]; pick(t, "podCIDRs", 0, 0, 1, 1, 2) {
	case 1:
		n.Spec.PodCIDRs = []string{cidr}
	case 2:
		n.Spec.PodCIDRs = []string{cidr, mirrorCIDR(cidr)}
	}
	if len(n.Spec.PodCIDRs) > 0 {
		n.Spec.PodCIDR = n.Spec.PodCIDRs[0]
	}
	return n
}

// drawPod adds a pod, or a template with one or two replicas.
func (w *World) drawPod(t *rapid.T, namespaces []string, i int) {
	meta := metav1.ObjectMeta{Namespace: pick(t, "namespace", namespaces...), Labels: drawLabels(t)}
	spec := corev1.PodSpec{Containers: drawContainers(t)}
	kind := pick(t, "kind", "pod", "pod", "pod", "pod", "pod", "pod", "template", "template", "template", "host", "host template")
	switch kind {
	case "template", "host template":
		meta.Name = fmt.Sprintf("d%d", i)
		spec.HostNetwork = kind == "host template"
		w.Deployments = append(w.Deployments, drawDeployment(t, meta, spec))
		return
	}
	meta.Name = fmt.Sprintf("p%d", i)
	spec.HostNetwork = kind == "host"
	p := corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: meta, Spec: spec}
	p.Spec.NodeName = pick(t, "node", "n1", "n1", "n2", "n3", "")
	p.Status.Phase = corev1.PodRunning
	if oneIn(t, 10, "pending") {
		p.Status.Phase = corev1.PodPending
		w.Pods = append(w.Pods, p)
		return
	}
	if oneIn(t, 10, "terminating") {
		at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
		p.DeletionTimestamp = &at
	}
	addrs := both(t, podAddrs[i])
	if kind == "host" {
		addrs = w.hostAddrs(p.Spec.NodeName)
	}
	for _, a := range addrs {
		p.Status.PodIPs = append(p.Status.PodIPs, corev1.PodIP{IP: a})
	}
	if len(addrs) > 0 {
		p.Status.PodIP = addrs[0]
	}
	w.Pods = append(w.Pods, p)
}

// hostAddrs gives the addresses of a hostNetwork pod: its node's, where there is one.
func (w *World) hostAddrs(node string) []string {
	for _, n := range w.Nodes {
		var out []string
		for _, a := range n.Status.Addresses {
			out = append(out, a.Address)
		}
		if n.Name == node && len(out) > 0 {
			return out
		}
	}
	for i, name := range nodeNames {
		if name == node {
			return []string{nodeAddrs[i]}
		}
	}
	return []string{"10.1.0.200"}
}

func drawDeployment(t *rapid.T, meta metav1.ObjectMeta, spec corev1.PodSpec) appsv1.Deployment {
	d := appsv1.Deployment{
		TypeMeta:   metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"},
		ObjectMeta: metav1.ObjectMeta{Namespace: meta.Namespace, Name: meta.Name},
	}
	if oneIn(t, 3, "two replicas") {
		two := int32(2)
		d.Spec.Replicas = &two
	}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: meta.Labels}
	d.Spec.Template.Labels = meta.Labels
	d.Spec.Template.Spec = spec
	return d
}

// drawContainers gives one container per port, so that two may use one name (S14).
func drawContainers(t *rapid.T) []corev1.Container {
	type port = corev1.ContainerPort
	ports := pick(t, "ports",
		[]port{},
		[]port{{Name: "http", ContainerPort: 80, Protocol: corev1.ProtocolTCP}},
		[]port{{Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		[]port{{Name: "http", ContainerPort: 80, Protocol: corev1.ProtocolTCP}, {Name: "http", ContainerPort: 8080, Protocol: corev1.ProtocolTCP}},
		[]port{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolTCP}},
		[]port{{Name: "dns", ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {Name: "http", ContainerPort: 53, Protocol: corev1.ProtocolTCP}},
		[]port{{Name: "http", ContainerPort: 80, Protocol: corev1.ProtocolSCTP}, {ContainerPort: 443, Protocol: corev1.ProtocolTCP}},
	)
	var out []corev1.Container
	for i := range max(len(ports), 1) {
		c := corev1.Container{Name: fmt.Sprintf("c%d", i), Image: "i"}
		if i < len(ports) {
			c.Ports = []port{ports[i]}
		}
		out = append(out, c)
	}
	return out
}

// drawSelector draws a selector over the two keys that pods, namespaces and nodes share.
func drawSelector(t *rapid.T, label string) metav1.LabelSelector {
	return pick(t, label, selectors()...)
}

// drawNamespaceSelector may also use the name label.
func drawNamespaceSelector(t *rapid.T, label string) metav1.LabelSelector {
	const name = cluster.MetadataNameLabel
	if !oneIn(t, 3, label+" by name") {
		return drawSelector(t, label)
	}
	return pick(t, label,
		metav1.LabelSelector{MatchLabels: map[string]string{name: "blue"}},
		metav1.LabelSelector{MatchLabels: map[string]string{name: "green"}},
		exprs(req(name, metav1.LabelSelectorOpIn, "blue", "green")),
		exprs(req(name, metav1.LabelSelectorOpNotIn, "blue")),
		exprs(req(name, metav1.LabelSelectorOpExists)),
		exprs(req(name, metav1.LabelSelectorOpIn, "blue", "grey"), req("app", metav1.LabelSelectorOpIn, "x")),
	)
}

func selectors() []metav1.LabelSelector {
	return []metav1.LabelSelector{
		{},
		{},
		{},
		{MatchLabels: map[string]string{"app": "x"}},
		{MatchLabels: map[string]string{"app": "z"}},
		{MatchLabels: map[string]string{"env": "x"}},
		{MatchLabels: map[string]string{"app": "x", "env": "x"}},
		exprs(req("app", metav1.LabelSelectorOpIn, "x", "z")),
		exprs(req("app", metav1.LabelSelectorOpNotIn, "x")),
		exprs(req("env", metav1.LabelSelectorOpExists)),
		exprs(req("env", metav1.LabelSelectorOpDoesNotExist)),
		{MatchLabels: map[string]string{"app": "x"},
			MatchExpressions: []metav1.LabelSelectorRequirement{req("env", metav1.LabelSelectorOpNotIn, "z")}},
	}
}

func exprs(rs ...metav1.LabelSelectorRequirement) metav1.LabelSelector {
	return metav1.LabelSelector{MatchExpressions: rs}
}

func req(key string, op metav1.LabelSelectorOperator, values ...string) metav1.LabelSelectorRequirement {
	return metav1.LabelSelectorRequirement{Key: key, Operator: op, Values: values}
}
