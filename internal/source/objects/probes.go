package objects

import (
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// probe is a probe of a container. One that runs a command asks no port, and has no field here.
type probe struct {
	HTTPGet   *probePort `json:"httpGet,omitempty"`
	TCPSocket *probePort `json:"tcpSocket,omitempty"`
	GRPC      *probePort `json:"grpc,omitempty"`
}

type probePort struct {
	Host string             `json:"host,omitempty"`
	Port intstr.IntOrString `json:"port,omitzero"`
}

// probes lists where a container's probes are, set or not.
func (c *container) probes() [3]**probe { return [...]**probe{&c.Liveness, &c.Readiness, &c.Startup} }

// isProbed tells whether any is set.
func (c *container) isProbed() bool {
	return c.Liveness != nil || c.Readiness != nil || c.Startup != nil
}

// eachProbe visits the probes of a spec that are set.
func (s *podSpec) eachProbe(visit func(c *container, p **probe)) {
	for _, list := range [][]container{s.Containers, s.InitContainers} {
		for i := range list {
			for _, p := range list[i].probes() {
				if *p != nil {
					visit(&list[i], p)
				}
			}
		}
	}
}

// trimProbes keeps one probe for each port that the kubelet asks at a container.
func (s *podSpec) trimProbes() {
	for i := range s.InitContainers {
		if c := &s.InitContainers[i]; !c.keepsRunning() { // it runs once, and has none
			for _, p := range c.probes() {
				*p = nil
			}
		}
	}
	var in *container
	var seen []uint16
	s.eachProbe(func(c *container, p **probe) {
		if in != c {
			in, seen = c, nil
		}
		port := c.probed(*p)
		if port == 0 || slices.Contains(seen, port) {
			*p = nil
			return
		}
		seen = append(seen, port)
	})
}

// probed gives the port that a probe asks at the pod; 0 if it asks none, or another host.
func (c *container) probed(p *probe) uint16 {
	if p == nil {
		return 0
	}
	for _, asked := range [...]*probePort{p.HTTPGet, p.TCPSocket, p.GRPC} {
		if asked != nil && asked.Host == "" {
			return c.number(&asked.Port)
		}
	}
	return 0
}

// number resolves a probe's port as the kubelet does: a name is one of the container's own, else a number
// in quotes. What is no port stands for nothing.
func (c *container) number(p *intstr.IntOrString) uint16 {
	n := int64(p.IntVal)
	if p.Type == intstr.String {
		i := slices.IndexFunc(c.Ports, func(own containerPort) bool { return own.Name == p.StrVal && own.Name != "" })
		if i >= 0 {
			n = int64(c.Ports[i].ContainerPort)
		} else {
			n, _ = strconv.ParseInt(p.StrVal, 10, 32)
		}
	}
	if n < 1 || n > 65535 {
		return 0
	}
	return uint16(n)
}

// probedPorts lists the ports that the kubelet asks at the pods of a trimmed spec, sorted, each once.
func probedPorts(spec *podSpec) []uint16 {
	var out []uint16
	spec.eachProbe(func(c *container, p **probe) { out = append(out, c.probed(*p)) })
	slices.Sort(out)
	return slices.Clip(slices.Compact(out))
}
