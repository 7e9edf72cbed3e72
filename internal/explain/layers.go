package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// Layers is what is known of an endpoint beside network policies (docs/layers.md).
type Layers struct {
	Account string // service account
	layers.Identity
	// Policies are the AccessPolicies that name it as their target.
	Policies []AccessAt
	// Asked are the ports on which some of them, with mode Enforce, asks for an identity; on Unenforced, a part
	// of these, nobody is known to enforce that (L23).
	Asked, Unenforced netset.PortSet
	// Unread: something that may have a say could not be read, and no answer of these layers is known (L3).
	Unread bool
}

// AccessAt is an AccessPolicy at one of its target pods.
type AccessAt struct {
	*AccessPolicy
	Ports      netset.PortSet
	Undeclared []string // names of ports that the policy means and the pod does not declare
}

// AccessPolicy is what an AccessPolicy says, and does by itself.
type AccessPolicy struct {
	Ref           cluster.PolicyRef
	Origin        cluster.Origin
	Spec          *v1alpha1.AccessPolicySpec
	Rules         []AccessRule
	NotUnderstood []string
	OfPods        bool // its target is pods; else it is a service
	Enforced      bool // it says who enforces it at its target pods
	// Target are its target pods; unused where it is about a service.
	Target Peer
	// Service is the service that it is about, and nil for pods and where there is no such service in the input.
	Service *cluster.ExternalService
	// Pass are the workloads that it allows, Unissued those that it would if an identity were issued to them, and
	// PassMaybe those of which it is not known whether one is.
	Pass, Unissued, PassMaybe []string
	// Others are further AccessPolicies with mode Enforce at some of its target pods, or about its service.
	Others []PolicyAt
}

// Audit tells whether the policy only reports (L25).
func (p *AccessPolicy) Audit() bool { return p.Spec.Mode == v1alpha1.ModeAudit }

// Projected tells whether it also counts in the network (L24).
func (p *AccessPolicy) Projected() bool { return !p.Audit() && p.Spec.Project.Network }

// OfNamespace tells whether it counts for pods of its own namespace only (L26).
func (p *AccessPolicy) OfNamespace() bool {
	return !p.OfPods && p.Spec.Target.ExternalService.Kind == "ClusterExternalService"
}

// AccessRule is a rule of an AccessPolicy.
type AccessRule struct {
	Path   string
	Origin cluster.Origin
	Deny   bool
	Peers  []AccessPeer
}

// AccessPeer is whom a rule of an AccessPolicy matches.
type AccessPeer struct {
	Account string // as ns/name; empty where an ID is written
	ID      string // the SPIFFE ID
	Prefix  bool   // every ID under it too
	Foreign bool   // of another trust domain than the cluster's
	Holders
}

// Holders are the workloads of the input that have one of some SPIFFE IDs.
type Holders struct {
	Now      []string // to which it is issued
	Unissued []string // to which it is not
	Maybe    []string // of which that is not known
}

// WorkloadIdentity is what a WorkloadIdentity gives, and to whom.
type WorkloadIdentity struct {
	Ref           cluster.PolicyRef
	Origin        cluster.Origin
	Spec          *v1alpha1.WorkloadIdentitySpec
	NotUnderstood []string
	SPIFFEID      string   // empty where its service account is not understood
	Pods          Selector // of the service account; empty for all
	// Now are the workloads to which it issues, Maybe those of which that is not known.
	Now, Maybe []string
	// Host are pods that get nothing because of hostNetwork, Unenforced those that get nothing because nothing
	// enforces network policies (L12).
	Host, Unenforced []string
}

// Service is what is said of a service outside the cluster, and which AccessPolicies are about it.
type Service struct {
	*cluster.ExternalService
	Ports    netset.PortSet
	Policies []*AccessPolicy
}

// Explainer describes what layers know of single objects.
type Explainer struct {
	m *policy.Model
	l *layers.Model
	// ids are the SPIFFE IDs of the input, sorted, and holders the pods that have them.
	ids      []string
	pods     map[string][]int
	policies map[int]*AccessPolicy
	peers    map[string]Holders
}

// NewExplainer prepares explanations; l may be nil, where layers do not speak.
func NewExplainer(m *policy.Model, l *layers.Model) *Explainer {
	x := &Explainer{m: m, l: l, pods: map[string][]int{}, policies: map[int]*AccessPolicy{}, peers: map[string]Holders{}}
	if l == nil {
		return x
	}
	for i := range m.Snapshot().Pods {
		who, _ := l.Identity(i)
		if who.SPIFFEID == "" {
			continue
		}
		if x.pods[who.SPIFFEID] == nil {
			x.ids = append(x.ids, who.SPIFFEID)
		}
		x.pods[who.SPIFFEID] = append(x.pods[who.SPIFFEID], i)
	}
	slices.Sort(x.ids)
	return x
}

// alike tells apart pods by what is said of them.
type alike struct {
	class, identity, target int
	account                 string
}

func (x *Explainer) alike(pod int) alike {
	out := alike{class: x.m.ClassOf(pod)}
	if x.l != nil {
		_, out.identity = x.l.Identity(pod)
		out.target, out.account = x.l.Target(pod), x.m.Snapshot().Pods[pod].Account
	}
	return out
}

// layersOf describes a pod; nil where layers do not speak.
func (x *Explainer) layersOf(pod int) *Layers {
	if x.l == nil {
		return nil
	}
	out := &Layers{Account: x.m.Snapshot().Pods[pod].Account, Unread: x.l.Unread()}
	out.Identity, _ = x.l.Identity(pod)
	var enforced netset.PortSet
	for _, i := range x.l.Naming(pod) {
		at := AccessAt{AccessPolicy: x.accessPolicy(i)}
		at.Ports, at.Undeclared = x.l.PortsAt(i, pod)
		out.Policies = append(out.Policies, at)
		if at.Audit() {
			continue
		}
		out.Asked = out.Asked.Union(at.Ports)
		if at.Enforced {
			enforced = enforced.Union(at.Ports)
		}
	}
	out.Unenforced = out.Asked.Minus(enforced)
	return out
}

// accessPolicy describes the rules of an AccessPolicy, once.
func (x *Explainer) accessPolicy(i int) *AccessPolicy {
	if p := x.policies[i]; p != nil {
		return p
	}
	o := &x.m.Snapshot().AccessPolicies[i]
	p := &AccessPolicy{Ref: cluster.PolicyRef{Kind: "AccessPolicy", Namespace: o.Namespace, Name: o.Name}, Origin: o.Origin.At(""), Spec: o.Spec, NotUnderstood: o.NotUnderstood,
		OfPods: x.l.OfPods(i), Enforced: x.l.Enforced(i)}
	x.policies[i] = p
	for j := range o.Spec.Rules {
		r := &o.Spec.Rules[j]
		path := fmt.Sprintf("spec.rules[%d]", j)
		rule := AccessRule{Path: path, Origin: o.Origin.At(path), Deny: r.Action == v1alpha1.ActionDeny}
		for k := range r.From {
			rule.Peers = append(rule.Peers, x.accessPeer(o.Namespace, &r.From[k]))
		}
		p.Rules = append(p.Rules, rule)
	}
	return p
}

func (x *Explainer) accessPeer(namespace string, p *v1alpha1.AccessPeer) AccessPeer {
	out := AccessPeer{}
	if a := p.ServiceAccount; a != nil {
		out.Account = cmp.Or(a.Namespace, namespace) + "/" + a.Name
	}
	out.ID, out.Prefix = x.l.PeerID(namespace, p)
	out.Foreign = x.l.Foreign(out.ID)
	key := out.ID
	if out.Prefix {
		key += "/"
	}
	holders, ok := x.peers[key]
	if !ok {
		holders = x.holders(out.ID, out.Prefix)
		x.peers[key] = holders
	}
	out.Holders = holders
	return out
}

// holders lists who has an ID or, with prefix, one under it.
func (x *Explainer) holders(id string, prefix bool) Holders {
	pods := slices.Clone(x.pods[id])
	if prefix {
		first, _ := slices.BinarySearch(x.ids, id+"/")
		for _, o := range x.ids[first:] {
			if !strings.HasPrefix(o, id+"/") {
				break
			}
			pods = append(pods, x.pods[o]...)
		}
	}
	var lists [3][]int
	for _, i := range pods {
		who, _ := x.l.Identity(i)
		k := issuedList[who.Issued]
		lists[k] = append(lists[k], i)
	}
	out := x.named(lists[:]...)
	return Holders{out[0], out[1], out[2]}
}

// issuedList tells in which list of Holders somebody is.
var issuedList = map[layers.Answer]int{layers.Allow: 0, layers.Deny: 1, layers.Unknown: 2}

// named names the pods of several lists by workload, or one by one where those of a workload are in more than one.
func (x *Explainer) named(lists ...[]int) [][]string {
	snap := x.m.Snapshot()
	in := map[cluster.Workload]int{} // the list, or -1 for several
	for k, list := range lists {
		for _, i := range list {
			if was, ok := in[snap.Pods[i].Owner]; ok && was != k {
				in[snap.Pods[i].Owner] = -1
			} else {
				in[snap.Pods[i].Owner] = k
			}
		}
	}
	out := make([][]string, len(lists))
	for k, list := range lists {
		for _, i := range list {
			name := snap.Pods[i].Owner.String()
			if in[snap.Pods[i].Owner] < 0 {
				name = snap.Pods[i].String()
			}
			out[k] = append(out[k], name)
		}
		slices.Sort(out[k])
		out[k] = slices.Compact(out[k])
	}
	return out
}

// AccessPolicy describes an AccessPolicy by its index in the Snapshot.
func (x *Explainer) AccessPolicy(index int) *AccessPolicy {
	p := x.accessPolicy(index)
	snap := x.m.Snapshot()
	if p.OfPods {
		p.Target = Peer{Kind: "pods", Namespace: p.Ref.Namespace}
		if t := p.Spec.Target.Pods; t != nil {
			p.Target.Pods = policy.NewSelector(t.PodSelector)
		}
		targets, others := x.targets(index)
		p.Target.Now = x.named(targets, except(x.everyPod(), targets))[0]
		for _, o := range others {
			x.addOther(p, index, o)
		}
	} else if i := x.l.ServiceOf(index); i >= 0 {
		p.Service = &snap.External[i]
		for _, o := range x.l.About(i) {
			if p.Service.Namespace != "" || snap.AccessPolicies[o].Namespace == p.Ref.Namespace {
				x.addOther(p, index, o)
			}
		}
	}
	x.whoPasses(p, index)
	return p
}

func (x *Explainer) everyPod() []int {
	out := make([]int, len(x.m.Snapshot().Pods))
	for i := range out {
		out[i] = i
	}
	return out
}

// targets lists the pods that a policy names, and the policies that name some of these, it among them.
func (x *Explainer) targets(index int) (pods, policies []int) {
	named, seen := map[int]bool{}, map[int]bool{} // by the number of a target, and policies
	for i := range x.m.Snapshot().Pods {
		number := x.l.Target(i)
		names, ok := named[number]
		if !ok {
			naming := x.l.Naming(i)
			names = slices.Contains(naming, index)
			named[number] = names
			for _, o := range naming {
				seen[o] = seen[o] || names
			}
		}
		if names {
			pods = append(pods, i)
		}
	}
	for o := range x.m.Snapshot().AccessPolicies {
		if seen[o] {
			policies = append(policies, o)
		}
	}
	return pods, policies
}

func (x *Explainer) addOther(p *AccessPolicy, index, other int) {
	if o := x.accessPolicy(other); other != index && !o.Audit() {
		p.Others = append(p.Others, PolicyAt{o.Ref, o.Origin})
	}
}

// whoPasses asks the policy alone about every pod of the input that it has a say about (L21, L26).
func (x *Explainer) whoPasses(p *AccessPolicy, index int) {
	own := p.OfNamespace()
	var lists [4][]int // as in Holders, and who is denied
	passes := map[int]layers.Answer{}
	for i := range x.m.Snapshot().Pods {
		if own && x.m.Snapshot().Pods[i].Namespace != p.Ref.Namespace {
			continue
		}
		who, number := x.l.Identity(i)
		answer, ok := passes[number]
		if !ok {
			answer = x.l.Passes(index, i)
			passes[number] = answer
		}
		k := 3
		if answer == layers.Allow {
			k = issuedList[who.Issued]
		}
		lists[k] = append(lists[k], i)
	}
	out := x.named(lists[:]...)
	p.Pass, p.Unissued, p.PassMaybe = out[0], out[1], out[2]
}

// WorkloadIdentity describes a WorkloadIdentity by its index in the Snapshot.
func (x *Explainer) WorkloadIdentity(index int) *WorkloadIdentity {
	snap := x.m.Snapshot()
	o := &snap.Identities[index]
	out := &WorkloadIdentity{Ref: cluster.PolicyRef{Kind: "WorkloadIdentity", Namespace: o.Namespace, Name: o.Name}, Origin: o.Origin,
		Spec: o.Spec, NotUnderstood: o.NotUnderstood}
	if o.Spec.ServiceAccountName != "" {
		out.SPIFFEID = x.l.SPIFFEID(o.Namespace, o.Spec.ServiceAccountName)
	}
	if o.Spec.PodSelector != nil {
		out.Pods = policy.NewSelector(*o.Spec.PodSelector)
	}
	var lists [5][]int
	for i := range snap.Pods {
		switch answer := x.l.IssuedBy(index, i); {
		case answer == layers.Allow:
			lists[0] = append(lists[0], i)
		case answer == layers.Unknown:
			lists[1] = append(lists[1], i)
		case answer == layers.Deny && snap.Pods[i].HostNetwork:
			lists[2] = append(lists[2], i)
		case answer == layers.Deny:
			lists[3] = append(lists[3], i)
		default:
			lists[4] = append(lists[4], i)
		}
	}
	named := x.named(lists[:]...)
	out.Now, out.Maybe, out.Host, out.Unenforced = named[0], named[1], named[2], named[3]
	return out
}

// Service describes a service outside the cluster by its index in the Snapshot.
func (x *Explainer) Service(index int) *Service {
	s := x.l.Service(index)
	out := &Service{ExternalService: s.ExternalService, Ports: s.Ports}
	for _, i := range x.l.About(index) {
		out.Policies = append(out.Policies, x.accessPolicy(i))
	}
	return out
}
