package objects

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"sallyport.dev/sallyport/internal/cluster"
)

// defaultHTTPS is the port that API servers call where none is given.
const defaultHTTPS = 443

// callback reads what makes API servers call a Service.
func (a *assembly) callback(it *item, obj slim) {
	c := cluster.Callback{Origin: it.origin, Kind: it.key.kind, Name: it.key.name}
	for _, s := range calledServices(obj) {
		port := int32(defaultHTTPS)
		if s.Port != nil {
			port = *s.Port
		}
		if port < 1 || port > 65535 {
			it.problems = append(it.problems, problem{text: fmt.Sprintf("service.port %d is not between 1 and 65535", port)})
			continue
		}
		b := cluster.EntryBackend{Namespace: s.Namespace, Service: s.Name, Port: uint16(port)}
		if !slices.Contains(c.Backends, b) {
			c.Backends = append(c.Backends, b)
		}
	}
	if len(it.problems) > 0 {
		a.b.report(it)
		return
	}
	a.s.Callbacks = append(a.s.Callbacks, c)
}

// securityContexts begins the names of roles that allow a pod to run in some way, which is no sign that
// it speaks to the API server.
const securityContexts = "system:openshift:scc:"

// binding notes the service accounts that a role binding gives rights to.
func (a *assembly) binding(it *item, o *bindingObject) {
	if strings.HasPrefix(o.RoleRef.Name, securityContexts) {
		return
	}
	for _, s := range o.Subjects {
		k := [2]string{cmp.Or(s.Namespace, it.key.namespace), s.Name}
		if _, seen := a.granted[k]; !seen {
			a.granted[k] = cluster.ServiceAccount{Origin: it.origin, Namespace: k[0], Name: k[1]}
		}
	}
}

func (a *assembly) sortedGrants() []cluster.ServiceAccount {
	return slices.SortedFunc(maps.Values(a.granted), func(x, y cluster.ServiceAccount) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Name, y.Name))
	})
}

// monitor reads a ServiceMonitor or a PodMonitor.
func (a *assembly) monitor(it *item, o *monitorObject) {
	m := cluster.Monitor{Origin: it.origin, Kind: it.key.kind, Namespace: it.key.namespace, Name: it.key.name,
		Selector: o.Spec.Selector, EveryNamespace: o.Spec.NamespaceSelector.Any, Namespaces: sortedSet(o.Spec.NamespaceSelector.MatchNames)}
	if len(m.Namespaces) == 0 {
		m.Namespaces = []string{m.Namespace}
	}
	for _, e := range slices.Concat(o.Spec.Endpoints, o.Spec.PodMetricsEndpoints) {
		m.Ports = append(m.Ports, monitorPort(&e))
	}
	a.s.Monitors = append(a.s.Monitors, m)
}

// monitorPort reads a port of a monitor; a number that is no port's stands for nothing.
func monitorPort(e *monitorEndpoint) cluster.MonitorPort {
	out := cluster.MonitorPort{Name: e.Port}
	number := e.PortNumber
	if t := e.TargetPort; t != nil && t.Type == intstr.String {
		out.TargetName = t.StrVal
	} else if t != nil {
		number = t.IntVal
	}
	if number > 0 && number <= 65535 {
		out.Target = uint16(number)
	}
	return out
}

// The annotations by which pods ask Prometheus to collect their metrics.
const (
	scrapeAnnotation     = "prometheus.io/scrape"
	scrapePortAnnotation = "prometheus.io/port"
)

// scrapeOnly keeps of a pod's annotations those that ask Prometheus for something, where they make sense.
func scrapeOnly(annotations map[string]string) map[string]string {
	if annotations[scrapeAnnotation] != "true" {
		return nil
	}
	out := map[string]string{scrapeAnnotation: "true"}
	if port := scrapePort(annotations); port != 0 {
		out[scrapePortAnnotation] = strconv.Itoa(int(port))
	}
	return out
}

// scrapePort gives the port that annotations name; 0 if they name none.
func scrapePort(annotations map[string]string) uint16 {
	port, err := strconv.ParseUint(annotations[scrapePortAnnotation], 10, 16)
	if err != nil {
		return 0
	}
	return uint16(port)
}

// mountsToken tells whether pods with a spec have a token of their account: the spec says so, else the account.
func (a *assembly) mountsToken(namespace, account string, spec *podSpec) bool {
	if spec.Token != nil {
		return *spec.Token
	}
	return !a.tokenless[[2]string{namespace, account}]
}
