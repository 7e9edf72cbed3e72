package lint

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/layers"
	"sallyport.dev/sallyport/internal/netset"
)

// identityRules look at identity and the network together: who is issued something, and who gets where it counts.
var identityRules = []*Rule{
	{ID: "metadata-beside-identity", Severity: Warning, Title: "pods with an identity of their own also reach the cloud's metadata address", check: metadataBesideIdentity},
	{ID: "identity-never-arrives", Severity: Warning, Title: "nobody who is let in by identity can get to where it counts", check: identityNeverArrives},
	{ID: "reach-without-identity", Severity: Note, Title: "identity alone keeps pods out that the network lets through", check: reachWithoutIdentity},
	{ID: "redirect-ports-cut", Severity: Warning, Title: "pods reach an Azure SQL server, but not the ports that it redirects to", check: redirectPortsCut},
}

// metadataBesideIdentity finds pods that are issued an identity and may still ask for that of their node. Bindings of
// Azure AD Pod Identity do not count: it hands out identities at that very address.
func metadataBesideIdentity(r *run) {
	g := map[Severity]*gathered{Note: {}, Warning: {}}
	for class := range r.Model.Classes() {
		for _, f := range r.metadataFlows(class) {
			if r.decided(&f, flow.Egress) != flow.Allowed {
				continue
			}
			severity := Warning
			if len(r.Model.Classes()[class].Subject(flow.Egress).Policies) == 0 { // metadata-open says so of everything
				severity = Note
			}
			for _, pod := range r.Model.Classes()[class].Members {
				for _, by := range r.issuers(pod) {
					found := onRef(by, fmt.Sprintf(": the metadata address %s can be reached beside the identity that is issued by this", f.To.Addr),
						"In a cloud, whoever gets into such a pod can ask there for the credentials of its node as well.",
						"Keep these pods from the address, or block it for the whole cluster and say so with --block-metadata.")
					found.Severity = severity
					g[severity].add(found, r.Model.Snapshot().Pods[pod].Owner.String())
				}
			}
		}
	}
	g[Warning].flush(r)
	g[Note].flush(r)
}

// issuers lists the WorkloadIdentities and service accounts that surely issue something to a pod.
func (r *run) issuers(pod int) []layers.Ref {
	who, _ := r.layers().Identity(pod)
	var out []layers.Ref
	add := func(x layers.Ref) {
		x.Path = ""
		same := func(o layers.Ref) bool { return o.Kind == x.Kind && o.Namespace == x.Namespace && o.Name == x.Name }
		if (x.Kind == "WorkloadIdentity" || x.Kind == "ServiceAccount") && !slices.ContainsFunc(out, same) {
			out = append(out, x)
		}
	}
	if who.Issued == layers.Allow {
		for _, x := range who.Refs {
			add(x)
		}
	}
	for _, grant := range who.Azure {
		for _, x := range grant.By {
			add(x)
		}
	}
	return out
}

// knownServices lists the services whose facts are understood, where nothing is unread that may say more.
func (r *run) knownServices() []int {
	var out []int
	for i := range r.Model.Snapshot().External {
		if len(r.Model.Snapshot().External[i].NotUnderstood) == 0 && !r.layers().Unread() {
			out = append(out, i)
		}
	}
	return out
}

// identityNeverArrives finds identities that are let in somewhere, and that nobody has who could get there.
func identityNeverArrives(r *run) {
	for _, i := range r.knownServices() {
		if auth := r.Model.Snapshot().External[i].Spec.Authentication; auth != nil && len(auth.Admitted) > 0 {
			r.admittedArrive(i, auth)
		}
	}
	if r.layers().Unread() {
		return
	}
	for i := range r.Model.Snapshot().AccessPolicies {
		p := &r.Model.Snapshot().AccessPolicies[i]
		if len(p.NotUnderstood) == 0 && p.Spec.Mode == v1alpha1.ModeEnforce && r.layers().OfPods(i) {
			r.allowedArrive(i, p)
		}
	}
}

// admittedArrive looks at a service: each identity that somebody here holds, and all of them together.
func (r *run) admittedArrive(service int, auth *v1alpha1.ExternalAuthentication) {
	goals := r.serviceGoals(service)
	holders := make([][]int, len(auth.Admitted)) // those that hold it, and cannot get there
	arrive := make([]bool, len(auth.Admitted))
	somebody, unsure := false, false // who gets there at all, and who may hold what is not known
	for _, c := range r.crowds() {
		stopped := !r.anyOf(c.pods[0], goals, func(p *passage) bool { return !p.stops() })
		held, perhaps := r.layers().Shows(service, c.pods[0])
		somebody = somebody || !stopped
		unsure = unsure || perhaps && !stopped
		for _, k := range held {
			if arrive[k] = arrive[k] || !stopped; stopped {
				holders[k] = append(holders[k], c.pods...)
			}
		}
	}
	said := false
	for k := range auth.Admitted {
		if arrive[k] || unsure || len(holders[k]) == 0 {
			continue
		}
		said = true
		r.add(onRef(r.layers().ServiceRef(service, fmt.Sprintf("spec.authentication.admitted[%d]", k)),
			"none of those to whom this identity is issued can get there: "+list(r.owners(holders[k])),
			"A network policy or the service's firewall stops them.", "Let them out to it, or admit the identity of those who need it."))
	}
	if somebody && !said && !unsure && !slices.Contains(arrive, true) && auth.Mode == v1alpha1.IdentityOnly {
		r.add(onRef(r.layers().ServiceRef(service, "spec.authentication.admitted"), "no pod that can get there is issued an identity that is admitted",
			"No pod of the input can use the service.", "Issue one of these identities by a WorkloadIdentity, or admit those that are issued."))
	}
}

// allowedArrive looks at the accounts of this cluster that an AccessPolicy lets in.
func (r *run) allowedArrive(index int, p *cluster.AccessPolicy) {
	var goals []goal
	for i := range p.Spec.Rules {
		if p.Spec.Rules[i].Action != v1alpha1.ActionAllow {
			continue
		}
		for j := range p.Spec.Rules[i].From {
			peer := &p.Spec.Rules[i].From[j]
			id, prefix := r.layers().PeerID(p.Namespace, peer)
			if prefix || r.layers().Foreign(id) {
				continue
			}
			if goals == nil {
				goals = r.targetGoals(index, false)
			}
			if message, fix := r.neverArrives(id, goals); message != "" {
				r.add(onRef(r.layers().AccessRef(index, fmt.Sprintf("spec.rules[%d].from[%d]", i, j)), message,
					"The rule lets nobody in.", fix))
			}
		}
	}
}

// neverArrives says why nobody with an ID gets to goals; empty where somebody may, or where nothing is known of them.
func (r *run) neverArrives(id string, goals []goal) (message, fix string) {
	var all, issued []int
	tried, arrives := false, false
	for _, c := range r.crowds() {
		who, _ := r.layers().Identity(c.pods[0])
		if who.SPIFFEID != id {
			continue
		}
		all = append(all, c.pods...)
		if who.Issued == layers.Deny {
			continue
		}
		issued = append(issued, c.pods...)
		for _, passage := range r.passages(c.pods[0], goals) {
			tried = true
			arrives = arrives || !passage.stops()
		}
	}
	switch {
	case len(all) == 0:
		return r.nobodyRunsAs(id)
	case len(issued) == 0:
		return "no WorkloadIdentity issues this to those that run as it: " + list(r.owners(all)), "Add a WorkloadIdentity for the service account."
	case tried && !arrives:
		return "none of those to whom this identity is issued can get to a target: " + list(r.owners(issued)), "Let them out, and let them in at the target, or take the rule out."
	}
	return "", ""
}

// nobodyRunsAs tells of an account that no pod has although pods of its namespace are in the input.
func (r *run) nobodyRunsAs(id string) (message, fix string) {
	_, path, _ := strings.Cut(id, "/ns/")
	namespace, account, ok := strings.Cut(path, "/sa/")
	if !ok || strings.Contains(account, "/") {
		return "", ""
	}
	var there []string
	for i := range r.Model.Snapshot().Pods {
		if p := &r.Model.Snapshot().Pods[i]; p.Namespace == namespace && !p.HostNetwork {
			there = append(there, p.Account)
		}
	}
	if len(there) == 0 {
		return "", ""
	}
	slices.Sort(there)
	return fmt.Sprintf("no pod in %s runs as service account %s", namespace, account), "The accounts there: " + list(slices.Compact(there)) + "."
}

// reachWithoutIdentity finds pods that nothing but identity keeps out of a service or a pod.
func reachWithoutIdentity(r *run) {
	if r.layers().Unread() {
		return
	}
	for _, i := range r.knownServices() {
		if names := r.heldByIdentity(r.serviceGoals(i)); len(names) > 0 {
			r.add(byIdentityAlone(r.layers().ServiceRef(i, ""), names))
		}
	}
	for i := range r.Model.Snapshot().AccessPolicies {
		if p := &r.Model.Snapshot().AccessPolicies[i]; p.Spec.Mode != v1alpha1.ModeEnforce || !r.layers().OfPods(i) || len(p.NotUnderstood) > 0 {
			continue
		}
		if names := r.heldByIdentity(r.targetGoals(i, true)); len(names) > 0 {
			r.add(byIdentityAlone(r.layers().AccessRef(i, ""), names))
		}
	}
}

func byIdentityAlone(at layers.Ref, names []string) Finding {
	return onRef(at, "the network lets these through, and identity alone keeps them out: "+list(names),
		"One stolen token, or one password, opens it to them.", "Keep them out by a network policy as well: single-points shows what each failure opens.")
}

// heldByIdentity names the workloads whose way to goals is stopped by identity and surely by nothing else.
func (r *run) heldByIdentity(goals []goal) []string {
	var out []int
	for _, c := range r.crowds() {
		if r.anyOf(c.pods[0], goals, func(p *passage) bool { return p.arrives() && p.needsIdentity() }) {
			out = append(out, c.pods...)
		}
	}
	return r.owners(out)
}

// The ports of Azure SQL: of the gateway, and those that it redirects to.
var (
	gatewayPort   = netset.PortRange{First: 1433, Last: 1433}
	redirectPorts = netset.PortRange{First: 11000, Last: 11999}
)

// redirectPortsCut finds egress policies that let pods out to a server's gateway only.
func redirectPortsCut(r *run) {
	var g gathered
	var gateway, redirect netset.PortSet
	gateway.Add(netset.TCP, gatewayPort)
	redirect.Add(netset.TCP, redirectPorts)
	for _, i := range r.knownServices() {
		x := r.layers().Service(i)
		if !gateway.Minus(x.Ports).Empty() || !redirect.Minus(x.Ports).Empty() {
			continue
		}
		goals := r.serviceGoals(i)
		for _, c := range r.crowds() {
			for _, at := range goals {
				if slices.Contains(x.Private, at.Addr) { // the redirection there is another one
					continue
				}
				if f, ok := r.cutAt(c.pods[0], at, gateway, redirect); ok {
					found, ok := r.onDenial(&f, flow.Egress, fmt.Sprintf(" reach %s on tcp/1433, and not on all of tcp/11000-11999, to which it redirects", x.String()),
						"In Azure the server sends its clients on to one of these ports, unless its connection policy is Proxy: connections are accepted and then fail.",
						"Allow tcp/11000-11999 beside 1433; where the policy is Proxy, leave that range out of the service.")
					if ok {
						g.add(found, r.owners(c.pods)...)
					}
				}
			}
		}
	}
	g.flush(r)
}

// cutAt gives a flow to a redirected port that is surely denied where the gateway is surely reached.
func (r *run) cutAt(pod int, at goal, gateway, redirect netset.PortSet) (flow.Flow, bool) {
	at.ports = gateway
	if !r.anyOf(pod, []goal{at}, func(p *passage) bool { return p.network == flow.Allowed && !p.stops() }) {
		return flow.Flow{}, false
	}
	at.ports = redirect
	for f, p := range r.passages(pod, []goal{at}) {
		if p.network == flow.Denied {
			return *f, true
		}
	}
	return flow.Flow{}, false
}
