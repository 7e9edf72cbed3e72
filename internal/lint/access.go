package lint

import (
	"fmt"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// accessRules are about AccessPolicies that change nothing.
var accessRules = []*Rule{
	{ID: "access-policy-unenforced", Severity: Warning, Title: "nobody is known to enforce an AccessPolicy", check: accessPolicyUnenforced},
	{ID: "access-policy-without-target", Severity: Warning, Title: "an AccessPolicy names pods or a service that are not there", check: accessPolicyWithoutTarget},
}

// eachAccess visits the AccessPolicies that are fully understood (L4).
func (r *run) eachAccess(visit func(i int, p *cluster.AccessPolicy)) {
	list := r.Model.Snapshot().AccessPolicies
	for i := range list {
		if len(list[i].NotUnderstood) == 0 {
			visit(i, &list[i])
		}
	}
}

func accessPolicyUnenforced(r *run) {
	if r.layers().Unread() { // another policy at the same target may say who enforces them all
		return
	}
	targets, enforced := r.accessTargets(), map[int]enforcement{}
	r.eachAccess(func(i int, p *cluster.AccessPolicy) {
		switch {
		case p.Spec.Mode == v1alpha1.ModeAudit:
		case r.layers().OfPods(i):
			r.unenforcedAtPods(i, p, targets[i], enforced)
		case r.layers().ServiceOf(i) >= 0:
			r.unenforcedAtService(i, p)
		}
	})
}

// accessTargets lists for each AccessPolicy pods that it names, one of those that the same policies name on the same
// ports, and of each workload.
func (r *run) accessTargets() [][]int {
	out := make([][]int, len(r.Model.Snapshot().AccessPolicies))
	type kind struct {
		target int
		host   bool
		owner  cluster.Workload
	}
	seen := map[kind]bool{}
	pods := r.Model.Snapshot().Pods
	for i := range pods {
		k := kind{r.layers().Target(i), pods[i].HostNetwork, pods[i].Owner}
		if seen[k] {
			continue
		}
		seen[k] = true
		for _, p := range r.layers().Naming(i) {
			out[p] = append(out[p], i)
		}
	}
	return out
}

// enforcement is what is said of enforcement at a pod.
type enforcement struct {
	ports netset.PortSet // at which somebody enforces the policies (L23)
	vague bool           // a policy there is not understood, which may say more
}

// enforcement gives what is said at a pod; known has it by the number of the target.
func (r *run) enforcement(pod int, known map[int]enforcement) enforcement {
	e, ok := known[r.layers().Target(pod)]
	if ok {
		return e
	}
	for _, k := range r.layers().Naming(pod) {
		p := &r.Model.Snapshot().AccessPolicies[k]
		e.vague = e.vague || len(p.NotUnderstood) > 0
		if p.Spec.Mode != v1alpha1.ModeAudit && r.layers().Enforced(k) {
			ports, _ := r.layers().PortsAt(k, pod)
			e.ports = e.ports.Union(ports)
		}
	}
	known[r.layers().Target(pod)] = e
	return e
}

// unenforcedTargets gives the pods, and the ports of each, that a policy names and at which no policy says who enforces them
// all. The projection into the network acts on its own policies only, and not at hostNetwork pods (L24).
func (r *run) unenforcedTargets(index int, targets []int, enforced map[int]enforcement) (at []int, ports []netset.PortSet) {
	projected := r.Model.Snapshot().AccessPolicies[index].Spec.Project.Network
	for _, pod := range targets {
		if projected && !r.Model.Snapshot().Pods[pod].HostNetwork {
			continue
		}
		e := r.enforcement(pod, enforced)
		named, _ := r.layers().PortsAt(index, pod)
		if open := named.Minus(e.ports); !e.vague && !open.Empty() {
			at, ports = append(at, pod), append(ports, open)
		}
	}
	return at, ports
}

func (r *run) unenforcedAtPods(index int, p *cluster.AccessPolicy, targets []int, enforced map[int]enforcement) {
	at, open := r.unenforcedTargets(index, targets, enforced)
	if len(at) == 0 {
		return
	}
	var ports netset.PortSet
	for _, s := range open {
		ports = ports.Union(s)
	}
	fix := "Say enforcedBy: Gate or Application, if one of them asks for identities there; or let the network deny by address as well, with project: {network: true}."
	if p.Spec.Project.Network {
		fix = "Say enforcedBy: Gate or Application, if one of them asks for identities there. These use hostNetwork, where no projection acts."
	}
	r.add(onRef(r.layers().AccessRef(index, "spec.target.pods"), fmt.Sprintf("nobody is known to enforce it at %s, on %s", list(r.owners(at)), portList(ports)),
		"Whom it denies may get in all the same.", fix))
}

// unenforcedAtService is L26: tokens that are withheld keep nobody out of a service that does not ask for them.
func (r *run) unenforcedAtService(index int, p *cluster.AccessPolicy) {
	x := r.layers().Service(r.layers().ServiceOf(index))
	named := x.Public != nil || x.Private != nil && x.Spec.Firewall.PublicNetworkAccess == v1alpha1.PublicDisabled
	if len(x.NotUnderstood) > 0 || p.Spec.Project.Network && named { // the network denies them there (L24)
		return
	}
	message, reason, fix := "", "", ""
	switch auth := x.Spec.Authentication; {
	case auth == nil:
		message = "it is about " + x.String() + ", and nothing says whether that asks for an identity"
		reason = "The policy withholds tokens. Whom it denies may get in without one."
		fix = "Say in spec.authentication of the service what it asks for."
	case auth.Mode == v1alpha1.IdentityOrPassword:
		message = "it is about " + x.String() + ", which takes passwords too"
		reason = "The policy withholds tokens. Whom it denies may get in with a password."
		fix = "Let the service take identities only, and say so with mode: IdentityOnly."
	default:
		return
	}
	r.add(onRef(r.layers().AccessRef(index, "spec.target.externalService"), message, reason, fix))
}

func accessPolicyWithoutTarget(r *run) {
	if r.partial() {
		return
	}
	targets, there := r.accessTargets(), r.servicesThere()
	r.eachAccess(func(i int, p *cluster.AccessPolicy) {
		switch {
		case !r.layers().OfPods(i):
			if r.layers().ServiceOf(i) < 0 {
				r.noSuchService(i, p, there)
			}
		case len(targets[i]) == 0:
			pods := policy.NewSelector(p.Spec.Target.Pods.PodSelector)
			if len(pods) == 0 { // it is for whatever comes into the namespace
				return
			}
			if m, ok := r.missOf(selection{namespace: p.Namespace, pods: pods}, false); ok {
				r.add(onRef(r.layers().AccessRef(i, "spec.target.pods.podSelector"), m.message, "The policy has no effect.", m.fix))
			}
		}
	})
}

// servicesThere are the services of the input: their names by namespace, and where they stand in the Snapshot by name.
type servicesThere struct {
	names map[string][]string
	named map[string][]int
}

func (r *run) servicesThere() servicesThere {
	out := servicesThere{map[string][]string{}, map[string][]int{}}
	for i := range r.Model.Snapshot().External {
		x := &r.Model.Snapshot().External[i]
		out.names[x.Namespace] = append(out.names[x.Namespace], x.Name)
		out.named[x.Name] = append(out.named[x.Name], i)
	}
	return out
}

// noSuchService says that a policy names a service that the input does not have, unless that may lie elsewhere: where the
// input is no cluster, it has none like it and none beside it.
func (r *run) noSuchService(index int, p *cluster.AccessPolicy, there servicesThere) {
	want := &cluster.ExternalService{Namespace: p.Namespace, Name: p.Spec.Target.ExternalService.Name}
	if p.Spec.Target.ExternalService.Kind == "ClusterExternalService" {
		want.Namespace = ""
	}
	beside := there.names[want.Namespace]
	message, fix := "there is no "+want.String(), ""
	if near := r.nearestName(want.Name, beside); near != "" {
		message, fix = message+", but there is "+near, "Write name: "+near+", if that is what was meant."
	} else if other := there.named[want.Name]; len(other) > 0 {
		message, fix = r.otherService(message, p, other)
	} else if len(beside) > 0 {
		message, fix = message+", but there are "+list(beside), "Write the name of one that is there, or state this one."
	} else if r.Model.Snapshot().Revision != "" {
		fix = "State it, or take the policy away."
	} else {
		return
	}
	r.add(onRef(r.layers().AccessRef(index, "spec.target.externalService"), message, "The policy has no effect.", fix))
}

// otherService is about services of the right name that the policy does not name, because they are of the other kind or
// in another namespace.
func (r *run) otherService(message string, p *cluster.AccessPolicy, named []int) (string, string) {
	external := r.Model.Snapshot().External
	for _, i := range named {
		if x := &external[i]; x.Namespace == "" || x.Namespace == p.Namespace {
			return message + ", but there is " + x.String(), "Write kind: " + r.layers().ServiceRef(i, "").Kind + ", if that is what was meant."
		}
	}
	return message + ", but there is " + external[named[0]].String() + ", in another namespace",
		"Move the policy to that namespace, or state a ClusterExternalService."
}

// nearestName finds the name that is most like one that is not there; empty if none is alike.
func (r *run) nearestName(want string, names []string) string {
	near, best := "", unlike
	if !r.population().compare(len(names)) {
		return ""
	}
	for _, name := range names {
		if d := likeness(want, name); d < best {
			near, best = name, d
		}
	}
	return near
}
