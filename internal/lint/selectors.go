package lint

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/policy"
)

// selectorRules are about selectors that match nothing, or not what was meant.
var selectorRules = []*Rule{
	{ID: "selects-nothing", Severity: Warning, Title: "a policy selects no pod", check: selectsNothing},
	{ID: "selects-host-network", Severity: Warning, Title: "a policy selects pods that no policy can touch, because they use hostNetwork", check: selectsHostNetwork},
	{ID: "peer-matches-nothing", Severity: Warning, Title: "a peer of a rule matches no pod", check: peerMatchesNothing},
	{ID: "namespace-without-labels", Severity: Warning, Title: "a namespaceSelector asks for a label, and no namespace has any", check: namespaceWithoutLabels},
	{ID: "and-or-slip", Severity: Warning, Title: "two selectors stand in one item or in two, and the other was probably meant", check: andOrSlip},
}

// kubeSystem is filled by the cluster itself: files seldom say what runs there.
const kubeSystem = "kube-system"

func selectsNothing(r *run) {
	chosen := r.chosen()
	for _, p := range r.Model.Policies() {
		if chosen[p.Number()] || len(p.Pods) == 0 && len(p.Namespaces) == 0 || len(p.NotUnderstood) > 0 || r.selectsHosts(p) != nil {
			continue
		}
		path := "spec.podSelector"
		if p.Namespace == "" {
			path = "spec.subject"
		}
		if m, ok := r.missOf(selection{namespace: p.Namespace, namespaces: p.Namespaces, pods: p.Pods}, false); ok {
			r.add(onPolicy(p, path, m.message, "The policy has no effect.", m.fix))
		}
	}
}

// chosen tells by a policy's number whether it selects some pod, surely or perhaps.
func (r *run) chosen() []bool {
	out := make([]bool, len(r.Model.Policies()))
	for i := range r.Model.Classes() {
		for _, d := range flow.Directions {
			s := r.Model.Classes()[i].Subject(d)
			for _, p := range s.Policies {
				out[p.Number()] = true
			}
			for _, p := range slices.Concat(s.Admin, s.Baseline) {
				out[p.Number()] = true
			}
		}
	}
	for i, p := range r.Model.Policies() {
		if !p.Applies(flow.Egress) && !p.Applies(flow.Ingress) { // it is in nobody's list
			out[i] = len(r.Model.SubjectClasses(p, policy.Maybe)) > 0
		}
	}
	return out
}

// selection is a pair of selectors: pods in one namespace, or in those that a selector matches.
type selection struct {
	namespace  string // empty: Namespaces counts
	namespaces policy.Selector
	pods       policy.Selector
	alone      bool // the input has no pods there but those that the policy selects
}

// miss says that a selection matches nothing, and what may have been meant.
type miss struct {
	message, fix string
	likely       bool // there is something like it
	noLabels     bool // no namespace has any label to select by
}

// missOf words why a selection, which matches no pod of the input, matches none. ok is false where the
// pods or namespaces that it is for may just not be in the input.
func (r *run) missOf(s selection, peer bool) (m miss, ok bool) {
	if r.partial() {
		return miss{}, false
	}
	if s.namespace != "" {
		return r.podMiss(s, []string{s.namespace}, peer)
	}
	in := r.namespaces(s.namespaces)
	if len(in.sure) == 0 && !r.awaits(s.namespaces) {
		return r.namespaceMiss(s, in)
	}
	var names []string
	for _, ns := range slices.Concat(in.sure, in.perhaps) {
		names = append(names, ns.Name)
	}
	return r.podMiss(s, names, peer)
}

// awaits tells whether a namespace that is not in the input, and by S4 exists all the same, may be
// selected by its name.
func (r *run) awaits(s policy.Selector) bool {
	for _, q := range s {
		if q.Key != cluster.MetadataNameLabel || r.Model.Snapshot().Revision != "" {
			continue
		}
		for _, name := range q.Values {
			if r.Model.Snapshot().NamespaceByName(name) == nil && q.Holds(map[string]string{q.Key: name}) {
				return true
			}
		}
	}
	return false
}

// podMiss is about pods of namespaces that are there.
func (r *run) podMiss(s selection, namespaces []string, peer bool) (m miss, ok bool) {
	people := r.population()
	if r.setByControllers(s.pods) {
		return miss{}, false
	}
	var used labelled
	populated := 0
	for _, ns := range namespaces {
		if len(people.classes[ns]) > 0 {
			populated++
			used = used.with(r.podLabels(ns), people)
		}
	}
	what := "no pod " + inWords(s, namespaces) + " has " + s.pods.String()
	if q, lacks := used.lacking(s.pods); lacks && len(s.pods) > 1 {
		what += fmt.Sprintf(" (none has %s)", q)
	}
	if hosts := r.hostPods(s.pods, namespaces); len(hosts) > 0 && peer {
		if len(s.pods) == 0 {
			return miss{message: "no pod " + inWords(s, namespaces) + " can be selected, as all use hostNetwork: " + list(hosts), fix: "Name their nodes' addresses in an ipBlock: no selector selects such pods."}, true
		}
		return miss{message: what + " but such as use hostNetwork: " + list(hosts), fix: "Name their nodes' addresses in an ipBlock: no selector selects such pods."}, true
	}
	if near := r.nearest(s.pods, used); near != nil {
		return miss{message: what + "; " + near.String(), fix: near.fix(), likely: true}, true
	}
	if populated == 0 && (peer || s.namespace == "") {
		return miss{}, false
	}
	if class := r.matching(s.pods, func(ns string) bool { return !slices.Contains(namespaces, ns) }); class >= 0 {
		return r.elsewhere(s, what, class, peer), true
	}
	if populated == 0 || s.alone || populated == 1 && r.ofTheCluster(namespaces) || r.setByOperators(s.pods, used) {
		return miss{}, false
	}
	if q, lacks := used.lacking(s.pods); lacks && used[q.Key] != nil {
		return miss{message: fmt.Sprintf("%s; the values of %s there are %s", what, q.Key, used.inUse(q.Key)), fix: "Write the label that the pods have, or set it at their template."}, true
	}
	return miss{message: what, fix: "Write labels that the pods have, or set them at their template."}, true
}

// ofTheCluster tells whether kube-system is among namespaces, and the input need not say what runs there.
func (r *run) ofTheCluster(namespaces []string) bool {
	return r.Model.Snapshot().Revision == "" && len(r.population().classes[kubeSystem]) > 0 && slices.Contains(namespaces, kubeSystem)
}

// controllerLabels are set by Kubernetes on the pods that it makes from a template.
var controllerLabels = []string{"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "job-name", "controller-uid",
	"batch.kubernetes.io/job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-completion-index",
	"pod-template-hash", "controller-revision-hash", "pod-template-generation"}

// setByControllers tells whether a selector asks for a label that no template carries, where the input is
// not what a server has.
func (r *run) setByControllers(s policy.Selector) bool {
	return r.Model.Snapshot().Revision == "" && slices.ContainsFunc(s, func(q policy.Requirement) bool {
		return asks(q) && slices.Contains(controllerLabels, q.Key)
	})
}

// setByOperators tells whether a selector asks for a label that nobody there has, and whose prefix no pod
// of the input has in any label: an operator may set it on pods of its own, which no file says.
func (r *run) setByOperators(s policy.Selector, used labelled) bool {
	q, lacks := used.lacking(s)
	prefix, _, prefixed := strings.Cut(q.Key, "/")
	return r.Model.Snapshot().Revision == "" && lacks && prefixed && prefix != "app.kubernetes.io" && !r.population().prefixes[prefix]
}

// inWords says where a selection looks for pods.
func inWords(s selection, namespaces []string) string {
	switch {
	case s.namespace != "":
		return "in " + s.namespace
	case len(s.namespaces) == 0:
		return "in any namespace"
	case len(namespaces) == 1:
		return "in " + namespaces[0]
	}
	return "in namespaces with " + s.namespaces.String()
}

// elsewhere words that the pods are in another namespace.
func (r *run) elsewhere(s selection, what string, class int, peer bool) miss {
	ns := r.Model.Classes()[class].Namespace
	m := miss{message: fmt.Sprintf("%s; %s has, in namespace %s", what, r.owner(class), ns)}
	switch {
	case s.namespace == "":
		m.fix = "Let the namespace selector match " + ns + "."
	case peer:
		m.fix = fmt.Sprintf("Put a namespaceSelector for %s into the same item: a podSelector alone looks only into the policy's own namespace.", ns)
	default:
		m.fix = "Set metadata.namespace to " + ns + "."
	}
	return m
}

// namespaceMiss is about a namespace selector that surely matches no namespace of the input.
func (r *run) namespaceMiss(s selection, in namespaceList) (m miss, ok bool) {
	people := r.population()
	what := "no namespace has " + s.namespaces.String()
	if len(in.perhaps) > 0 {
		what = "no namespace is known to have " + s.namespaces.String()
	}
	if bare := r.bareNamespaces(); bare {
		m.noLabels = true
		what += fmt.Sprintf(": of those in the input none has any label but %s", cluster.MetadataNameLabel)
	}
	if near := r.nearest(s.namespaces, people.spaces); near != nil {
		m.message = fmt.Sprintf("%s; namespace %s", what, near)
		m.fix, m.likely = near.fix(), true
		return m, true
	}
	if ns := r.called(s.namespaces); ns != "" {
		m.message = fmt.Sprintf("%s; namespace %s is called so, and lacks the label", what, ns)
		m.fix = fmt.Sprintf("Set the label, or select %s: %s, which every namespace has by itself.", cluster.MetadataNameLabel, ns)
		return m, true
	}
	if len(s.pods) > 0 {
		if class := r.matching(s.pods, func(ns string) bool {
			return slices.ContainsFunc(people.known, func(k *cluster.Namespace) bool { return k.Name == ns })
		}); class >= 0 {
			m.message = fmt.Sprintf("%s; %s has %s, and its namespace lacks the label", what, r.owner(class), s.pods)
			m.fix = "Label the namespace, or select it by " + cluster.MetadataNameLabel + ", which every namespace has by itself."
			return m, true
		}
	}
	if !slices.ContainsFunc(s.namespaces, asks) {
		return m, false // it is for all others than some, and those may not be in the input
	}
	m.message = what
	m.fix = "Label a namespace, or select by " + cluster.MetadataNameLabel + ", which every namespace has by itself."
	return m, len(people.known) > 1 || r.Model.Snapshot().Revision != ""
}

// asks tells whether a requirement is for something to be there.
func asks(q policy.Requirement) bool {
	return q.Operator == metav1.LabelSelectorOpIn || q.Operator == metav1.LabelSelectorOpExists
}

// bareNamespaces tells whether the input has namespaces, and none has a label of its own.
func (r *run) bareNamespaces() bool {
	p := r.population()
	for key := range p.spaces {
		if key != cluster.MetadataNameLabel {
			return false
		}
	}
	return len(p.known) > 0
}

// called gives the namespace of the input whose name a selector asks for as the value of a label that
// the namespace does not have.
func (r *run) called(s policy.Selector) string {
	for _, q := range s {
		for _, v := range q.Values {
			ns := r.Model.Snapshot().NamespaceByName(v)
			if ns == nil || ns.Assumed || q.Key == cluster.MetadataNameLabel || !q.Holds(map[string]string{q.Key: v}) {
				continue
			}
			if _, has := ns.Labels[q.Key]; !has {
				return v
			}
		}
	}
	return ""
}

// hostPods names the hostNetwork pods in namespaces that a selector of pods would match.
func (r *run) hostPods(s policy.Selector, namespaces []string) []string {
	var out []string
	for _, ns := range namespaces {
		for _, i := range r.population().host[ns] {
			if pod := &r.Model.Snapshot().Pods[i]; s.Match(pod.Labels, true) == policy.Yes {
				out = append(out, pod.Owner.String())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// selectsHosts names the hostNetwork pods that a policy's selector was made for: it singles them out, or
// there are no others.
func (r *run) selectsHosts(p *policy.Policy) []string {
	namespaces := []string{p.Namespace}
	if p.Namespace == "" {
		namespaces = nil
		for _, ns := range r.namespaces(p.Namespaces).sure {
			if len(p.Pods) > 0 || len(r.population().classes[ns.Name]) == 0 {
				namespaces = append(namespaces, ns.Name)
			}
		}
	}
	if p.Namespace != "" && len(p.Pods) == 0 && len(r.population().classes[p.Namespace]) > 0 {
		return nil
	}
	return r.hostPods(p.Pods, namespaces)
}

func selectsHostNetwork(r *run) {
	chosen := r.chosen()
	for _, p := range r.Model.Policies() {
		hosts := r.selectsHosts(p)
		if len(hosts) == 0 || p.Namespace == "" && (len(p.Pods) == 0 || chosen[p.Number()]) {
			continue // a cluster policy for every pod of a namespace has these among them
		}
		path, reason := "spec.podSelector", "A hostNetwork pod has its node's address, and is as open as its node. The policy acts on the other pods only."
		if p.Namespace == "" {
			path = "spec.subject"
		}
		if !chosen[p.Number()] {
			reason = "A hostNetwork pod has its node's address, and is as open as its node. The policy selects no other pod, so it has no effect."
		}
		f := onPolicy(p, path, "the policy cannot touch these, because they use hostNetwork: "+list(hosts), reason,
			"Take hostNetwork out of the pods if they do not need it, or protect their nodes by other means.")
		if len(p.Pods) == 0 {
			f.Severity = Note // it is for whatever comes into the namespace
		}
		r.add(f)
	}
}
