package objects

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/netset"
)

// podTemplateHash is the label that names the ReplicaSet's part of a Deployment's pod names.
const podTemplateHash = "pod-template-hash"

// endpoints makes the pods: the real ones, and one or two for each template that has none (S3).
func (a *assembly) endpoints() {
	owners, replaced := a.ownerIndex(), a.replaced()
	live, finished := map[cluster.Workload]bool{}, map[cluster.Workload]bool{}
	for _, it := range a.pods {
		o := it.slim.(*podObject)
		owner := owners.of(it.key.namespace, it.key.name, &o.Metadata)
		if it.layer < replaced[owner] {
			continue
		}
		if o.Status.Phase == "Succeeded" || o.Status.Phase == "Failed" { // S5
			finished[owner] = true
			continue
		}
		live[owner] = true
		a.pod(it, o, owner)
	}
	scaled := a.scaled()
	for _, it := range a.workloads {
		o := it.slim.(*workloadObject)
		w := workloadOf(it.key)
		done := w.Kind == "job" && finished[w] // a job that has run does not run again
		if live[w] || done || owners.hasParent(it, o) {
			continue
		}
		a.template(it, o, w, scaled[w])
	}
}

// replaced gives the layer from which on pods of a workload count: those below one that changes its template
// are of the old template, and give way to the new one. Where policies see no difference, the pods stay.
func (a *assembly) replaced() map[cluster.Workload]int {
	out := map[cluster.Workload]int{}
	for _, it := range a.workloads {
		var below *item
		for _, old := range a.b.items[it.key] {
			if old.layer < it.layer && (below == nil || below.layer < old.layer) {
				below = old
			}
		}
		if below == nil || !a.sameTemplate(it.key.namespace, below.slim.(*workloadObject), it.slim.(*workloadObject)) {
			out[workloadOf(it.key)] = it.layer
		}
	}
	return out
}

// sameTemplate compares what policies see of two templates: an API server fills in defaults which a file
// leaves out.
func (a *assembly) sameTemplate(namespace string, before, after *workloadObject) bool {
	was, path, _ := templateOf(before)
	is, _, _ := templateOf(after)
	if was == nil || is == nil {
		return was == is
	}
	p, q := a.podFrom(namespace, &was.Spec, was.Metadata.Labels, nil), a.podFrom(namespace, &is.Spec, is.Metadata.Labels, nil)
	ports, _ := containerPorts(path, &was.Spec) // a template that counts is reported where it is used
	others, _ := containerPorts(path, &is.Spec)
	return maps.Equal(p.Labels, q.Labels) && p.HostNetwork == q.HostNetwork && p.NodeName == q.NodeName && p.Account == q.Account && p.Windows == q.Windows && p.EntraToken == q.EntraToken &&
		slices.Equal(ports, others)
}

func workloadOf(k key) cluster.Workload {
	return cluster.Workload{Namespace: k.namespace, Kind: strings.ToLower(k.kind), Name: k.name}
}

// pod adds a real pod.
func (a *assembly) pod(it *item, o *podObject, owner cluster.Workload) {
	p := a.podFrom(it.key.namespace, &o.Spec, o.Metadata.Labels, o.Metadata.Annotations)
	p.Origin, p.Namespace, p.Name, p.Owner = it.origin, it.key.namespace, it.key.name, owner
	if !p.EntraToken && !it.fromServer && p.Labels[cluster.EntraLabel] == "true" {
		o.Spec.Volumes = webhookVolume() // in a saved snapshot it would count as a server's, which has it or has it not
		p.EntraToken = true
	}
	p.Terminating = o.Metadata.DeletionTimestamp != ""
	var problems []problem
	p.Addrs, problems = addresses("status", "podIP", o.Status.PodIP, o.Status.PodIPs)
	p.Pending = o.Status.Phase == "Pending" && len(p.Addrs) == 0
	p.Ports, it.problems = containerPorts("spec", &o.Spec)
	hosts, more := addresses("status", "hostIP", o.Status.HostIP, o.Status.HostIPs)
	if it.problems = append(append(it.problems, problems...), more...); len(it.problems) > 0 {
		a.b.report(it)
		return
	}
	a.useNode(p.NodeName, hosts, &p)
	a.s.Pods = append(a.s.Pods, p)
}

// podFrom fills in what a pod and a template have in common.
func (a *assembly) podFrom(namespace string, spec *podSpec, labels, annotations map[string]string) cluster.Pod {
	account := "default"
	for _, name := range []string{spec.ServiceAccount, spec.ServiceAccountName} {
		if name != "" {
			account = name
		}
	}
	windows := spec.OS != nil && spec.OS.Name == "windows" || spec.NodeSelector[osLabel] == "windows"
	return cluster.Pod{Labels: labels, HostNetwork: spec.HostNetwork, NodeName: spec.NodeName, Account: account, Windows: windows,
		NoToken: !a.mountsToken(namespace, account, spec), EntraToken: spec.projectsEntra(), Scraped: annotations[scrapeAnnotation] == "true", ScrapePort: scrapePort(annotations), Probed: probedPorts(spec)}
}

// addresses reads status.podIPs or status.hostIPs; the older single field counts if the list is empty.
func addresses(path, single, one string, list []ipHolder) ([]netip.Addr, []problem) {
	if len(list) == 0 {
		if one == "" {
			return nil, nil
		}
		a, err := netip.ParseAddr(one)
		if err != nil || a.Zone() != "" {
			return nil, []problem{badValue(path+"."+single, one, "an address")}
		}
		return []netip.Addr{a.Unmap()}, nil
	}
	var out []netip.Addr
	var problems []problem
	for i, h := range list {
		a, err := netip.ParseAddr(h.IP)
		if err != nil || a.Zone() != "" {
			problems = append(problems, badValue(indexPath(path+"."+single+"s", i)+".ip", h.IP, "an address"))
			continue
		}
		if a = a.Unmap(); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out, problems
}

// containerPorts lists the ports of containers and of init containers that keep running (S14).
func containerPorts(path string, spec *podSpec) ([]cluster.ContainerPort, []problem) {
	var out []cluster.ContainerPort
	var problems []problem
	add := func(list string, i int, c *container) {
		for j, p := range c.Ports {
			at := indexPath(indexPath(path+"."+list, i)+".ports", j)
			proto, err := protocol(p.Protocol)
			if err != nil {
				problems = append(problems, badValue(at+".protocol", p.Protocol, "TCP, UDP or SCTP"))
				continue
			}
			if p.ContainerPort < 1 || p.ContainerPort > 65535 {
				problems = append(problems, problem{path: at, text: fmt.Sprintf("%s.containerPort %d is not between 1 and 65535", at, p.ContainerPort)})
				continue
			}
			out = append(out, cluster.ContainerPort{Name: p.Name, Proto: proto, Port: uint16(p.ContainerPort), RestartableInit: list == "initContainers"})
		}
	}
	for i := range spec.Containers {
		add("containers", i, &spec.Containers[i])
	}
	for i := range spec.InitContainers {
		if c := &spec.InitContainers[i]; c.keepsRunning() {
			add("initContainers", i, c)
		}
	}
	return out, problems
}

// protocol reads a protocol as an object writes it; absent is TCP (S1).
func protocol(s string) (netset.Proto, error) {
	switch s {
	case "", "TCP":
		return netset.TCP, nil
	case "UDP":
		return netset.UDP, nil
	case "SCTP":
		return netset.SCTP, nil
	}
	return 0, fmt.Errorf("unknown protocol %q", s)
}

// template adds the endpoints of a workload that has no pods in the input: two where it may run
// more than one replica, so that they are asked about as two pods (S3).
func (a *assembly) template(it *item, o *workloadObject, w cluster.Workload, scaled bool) {
	t, path, many := templateOf(o)
	if t == nil {
		it.problems = append(it.problems, problem{path: "spec", text: path + " is missing"})
		a.b.report(it)
		return
	}
	p := a.podFrom(w.Namespace, &t.Spec, t.Metadata.Labels, t.Metadata.Annotations)
	p.Origin, p.Namespace, p.Name, p.Owner, p.Template = it.origin, w.Namespace, w.Name, w, true
	p.NodeName = ""
	p.EntraToken = p.EntraToken || p.Labels[cluster.EntraLabel] == "true" // the webhook will give it one
	p.Ports, it.problems = containerPorts(path+".spec", &t.Spec)
	if len(it.problems) > 0 {
		a.b.report(it)
		return
	}
	a.s.Pods = append(a.s.Pods, p)
	if many || scaled {
		p.Replica = 1
		a.s.Pods = append(a.s.Pods, p)
	}
}

// templateOf gives a workload's template, its path, and whether it may run more than one replica.
func templateOf(o *workloadObject) (t *podTemplate, path string, many bool) {
	switch o.Kind {
	case "CronJob": // runs that overlap are not counted: they are the exception
		if o.Spec.JobTemplate == nil {
			return nil, "spec.jobTemplate", false
		}
		js := &o.Spec.JobTemplate.Spec
		return js.Template, "spec.jobTemplate.spec.template", js.Parallelism != nil && *js.Parallelism > 1
	case "Job":
		return o.Spec.Template, "spec.template", o.Spec.Parallelism != nil && *o.Spec.Parallelism > 1
	case "DaemonSet":
		return o.Spec.Template, "spec.template", true
	}
	return o.Spec.Template, "spec.template", o.Spec.Replicas != nil && *o.Spec.Replicas != 1
}

// scaled lists the workloads whose replicas an autoscaler decides.
func (a *assembly) scaled() map[cluster.Workload]bool {
	out := map[cluster.Workload]bool{}
	for _, it := range a.scalers {
		ref := it.slim.(*scalerObject).Spec.ScaleTargetRef
		out[cluster.Workload{Namespace: it.key.namespace, Kind: strings.ToLower(ref.Kind), Name: ref.Name}] = true
	}
	return out
}
