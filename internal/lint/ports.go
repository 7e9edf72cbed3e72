package lint

import (
	"fmt"
	"slices"
	"strings"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
	"sallyport.dev/sallyport/internal/policy"
)

// portRules are about ports that are not those of the pods.
var portRules = []*Rule{
	{ID: "service-port", Severity: Warning, Title: "a rule names the port of a Service where the port of the pods counts", check: servicePort},
	{ID: "named-port", Severity: Warning, Title: "a rule names a port that its destination does not declare so", check: namedPort},
}

// maxDestinations is how many classes of destinations are looked at for one rule. One that is for more
// is too broad to be held against the ports of some.
const maxDestinations = 2000

// destinations lists the classes of pods whose ports a rule speaks of; ok is false where they cannot be
// told: anyone, addresses, or too many.
func (r *run) destinations(p *policy.Policy, d flow.Direction, rule *policy.Rule) (classes []int, ok bool) {
	if d == flow.Ingress {
		classes = r.search().Subjects(p, d)
		return classes, len(classes) > 0 && len(classes) <= maxDestinations
	}
	for i := range rule.Peers {
		if rule.Peers[i].Kind != policy.PodPeer {
			return nil, false
		}
		for _, class := range r.search().Classes(&rule.Peers[i]) {
			classes = append(classes, int(class))
		}
		if len(classes) > maxDestinations {
			return nil, false
		}
	}
	slices.Sort(classes)
	return slices.Compact(classes), len(classes) > 0
}

// eachPort visits the ports of rules whose destinations are known.
func (r *run) eachPort(visit func(at *portAt)) {
	if r.partial() {
		return
	}
	r.eachRule(func(p *policy.Policy, d flow.Direction, rule *policy.Rule) {
		if len(rule.Ports) == 0 {
			return
		}
		classes, ok := r.destinations(p, d, rule)
		for i := range rule.Ports {
			if ok {
				visit(&portAt{p, d, rule, i, classes})
			}
		}
	})
}

// portAt is an item of ports, and the classes of its destinations.
type portAt struct {
	p       *policy.Policy
	d       flow.Direction
	rule    *policy.Rule
	index   int
	classes []int
}

func (a *portAt) port() *policy.Port { return &a.rule.Ports[a.index] }

func (a *portAt) finding(message, reason, fix string) Finding {
	return onPolicy(a.p, a.p.RuleID(a.d, a.rule.Index, -1, a.index).PortPath(), message, reason, fix)
}

func servicePort(r *run) {
	r.eachPort(func(a *portAt) {
		port := a.port()
		if port.Name != "" || port.Range.First != port.Range.Last {
			return
		}
		s, target := r.mistaken(a.classes, port)
		if s == nil {
			return
		}
		f := a.finding(
			fmt.Sprintf("%s/%s is the port of Service %s/%s, whose pods have it at %s", port.Proto, port.Range, s.Namespace, s.Name, target.words()),
			fmt.Sprintf("Policies see the packet at the pod, and there none of the destinations has port %s.", port.Range),
			"Write the port of the pods: "+target.words()+".")
		if slices.ContainsFunc(a.rule.Ports, func(o policy.Port) bool { return target.allowed(&o) }) {
			f.Severity, f.Fix = Note, "Take it out: the rule names the port of the pods too."
		}
		r.add(f)
	})
	if r.population().services.work > maxServiceWork {
		r.tooMuch("not all ports of rules were compared with those of Services", "That would be too much work.")
	}
}

// maxServiceWork bounds how often a Service is compared with pods (some seconds).
const maxServiceWork = 20_000_000

// serviceIndex remembers which Services select the pods of a class.
type serviceIndex struct {
	of   map[int][]*cluster.Service
	work int
}

// podPort is what a Service's port leads to.
type podPort struct {
	name  string // as the Service has it; empty where it has a number
	port  uint16
	proto netset.Proto
}

func (t podPort) words() string {
	if t.name != "" {
		return fmt.Sprintf("%s (%d)", t.name, t.port)
	}
	return fmt.Sprint(t.port)
}

func (t podPort) allowed(p *policy.Port) bool {
	return p.Proto == t.proto && (p.Name != "" && p.Name == t.name || p.Name == "" && p.Range.Contains(t.port))
}

// mistaken finds a Service of which the port is, where none of the destinations has that port itself.
func (r *run) mistaken(classes []int, port *policy.Port) (found *cluster.Service, target podPort) {
	for _, class := range classes {
		for _, pod := range r.Model.Classes()[class].Members {
			if declares(&r.Model.Snapshot().Pods[pod], port) {
				return nil, target
			}
		}
		for _, s := range r.servicesOf(class) {
			for i := range s.Ports {
				sp := &s.Ports[i]
				own := targetOf(sp, &r.Model.Classes()[class])
				switch {
				case sp.Proto != port.Proto || s.Headless:
				case own == port.Range.First:
					return nil, target
				case sp.Port == port.Range.First && own != 0 && found == nil:
					found, target = s, podPort{sp.TargetName, own, sp.Proto}
				}
			}
		}
	}
	return found, target
}

func declares(p *cluster.Pod, port *policy.Port) bool {
	return slices.ContainsFunc(p.Ports, func(c cluster.ContainerPort) bool {
		return c.Proto == port.Proto && port.Range.Contains(c.Port)
	})
}

// targetOf gives the number of a Service's port at pods of a class; 0 if they do not declare its name.
func targetOf(sp *cluster.ServicePort, c *policy.Class) uint16 {
	if sp.TargetName == "" {
		return sp.Target
	}
	for _, p := range c.Ports {
		if p.Name == sp.TargetName && p.Proto == sp.Proto {
			return p.Port
		}
	}
	return 0
}

// servicesOf lists the Services that select the pods of a class.
func (r *run) servicesOf(class int) []*cluster.Service {
	ix := &r.population().services
	out, ok := ix.of[class]
	if ok {
		return out
	}
	snap := r.Model.Snapshot()
	pod := &snap.Pods[r.Model.Classes()[class].Members[0]]
	first, _ := slices.BinarySearchFunc(snap.Services, pod.Namespace, func(s cluster.Service, ns string) int { return strings.Compare(s.Namespace, ns) })
	for i := first; i < len(snap.Services) && snap.Services[i].Namespace == pod.Namespace; i++ {
		if ix.work++; ix.work > maxServiceWork {
			return nil
		}
		if snap.Services[i].Selects(pod) {
			out = append(out, &snap.Services[i])
		}
	}
	ix.of[class] = out
	return out
}

func namedPort(r *run) {
	r.eachPort(func(a *portAt) {
		if a.port().Name == "" {
			return
		}
		named := r.declared(a.classes, a.port())
		switch {
		case len(named.right) == 0:
			r.add(r.missingName(a, named))
		case named.twice != "":
			r.add(a.finding(fmt.Sprintf("%s declares port %s twice, with different numbers: %s", named.twice, a.port().Name, named.numbers),
				"The rule is about both.", "Give the ports different names, or name the number."))
		}
	})
}

// naming is what destinations declare under a port's name.
type naming struct {
	right, wrong   []netset.Entry // with the rule's protocol, and with others
	twice, numbers string         // a workload that declares the name twice
}

// declared collects what destinations declare under the name of a port.
func (r *run) declared(classes []int, port *policy.Port) naming {
	var out naming
	for _, class := range classes {
		var here []string
		first := r.Model.Classes()[class].Members[0] // what a plugin makes of the name is another matter
		for _, c := range r.Model.Snapshot().Pods[first].Ports {
			e := netset.Entry{Proto: c.Proto, Range: netset.PortRange{First: c.Port, Last: c.Port}}
			switch {
			case c.Name != port.Name:
			case port.Proto == 0 || c.Proto == port.Proto:
				out.right = append(out.right, e)
				if port.Proto != 0 {
					here = append(here, e.Range.String())
				}
			default:
				out.wrong = append(out.wrong, e)
			}
		}
		if len(here) > 1 && out.twice == "" {
			out.twice, out.numbers = r.owner(class), strings.Join(here, ", ")
		}
	}
	return out
}

// missingName words that no destination declares a port's name.
func (r *run) missingName(a *portAt, named naming) Finding {
	name := a.port().Name
	who := list(r.workloads(a.classes[:min(len(a.classes), maxBeside)]))
	if len(named.wrong) > 0 {
		e := named.wrong[0]
		return a.finding(fmt.Sprintf("port %s is %s/%s at %s, and the rule is for %s", name, e.Proto, e.Range, who, a.port().Proto),
			"The rule allows nothing on this port.", "Write protocol: "+strings.ToUpper(e.Proto.String())+".")
	}
	message := fmt.Sprintf("no destination declares a port named %s: %s", name, who)
	fix := "Write the name as a container declares it, or a number."
	if near := r.nearestPort(a.classes, name); near != "" {
		message += "; they have " + near
		fix = "Write " + near + ", if that is what was meant."
	}
	return a.finding(message, "A name that a pod does not declare matches nothing at it.", fix)
}

// nearestPort gives the name of a declared port that is like a name, or that ends or begins with it.
func (r *run) nearestPort(classes []int, name string) string {
	best, found := unlike, ""
	for _, class := range classes {
		for _, p := range r.Model.Classes()[class].Ports {
			d := likeness(name, p.Name)
			if slices.Contains(strings.Split(name, "-"), p.Name) || slices.Contains(strings.Split(p.Name, "-"), name) {
				d = min(d, unlike-1)
			}
			if d < best || d == best && best < unlike && p.Name < found {
				best, found = d, p.Name
			}
		}
	}
	return found
}
