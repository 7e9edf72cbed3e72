package world

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

	"sallyport.dev/sallyport/api/v1alpha1"
)

// The vocabularies of services. Public addresses and private endpoints are among otherAddrs, or near
// them; a private endpoint may lie in a public block.
var (
	serviceCIDRs = []string{"203.0.113.0/24", "203.0.113.9/32", "203.0.113.128/25", "8.8.8.0/24", "10.0.0.8/29", "fd00::cb00:7100/120", "2001:db8::/32"}
	endpointIPs  = []string{"10.0.0.9", "10.1.0.9", "203.0.113.200", "fd00::a00:9"}
	subnetNames  = []string{"/subscriptions/1/subnets/nodes", "/Subscriptions/1/Subnets/Nodes", "/subscriptions/1/subnets/other", "pool", "POOL"}
	snatCIDRs    = []string{"198.51.100.0/25", "198.51.100.0/24", "198.51.100.7/32", "192.0.2.0/24", "2001:db8:1::/48"}
	ruleRanges   = [][2]string{{"10.0.0.0", "10.0.0.5"}, {"10.0.0.1", "10.0.0.1"}, {"198.51.100.0", "198.51.100.127"}, {"198.51.100.128", "198.51.100.255"},
		{"198.51.100.100", "198.51.100.200"}, {"10.1.0.1", "10.1.0.2"}, {"0.0.0.0", "255.255.255.255"}, {"10.0.1.9", "10.0.1.0"}, {"203.0.113.0", "203.0.113.199"},
		{"fd00::a00:0", "fd00::a00:1ff"}, {"2001:db8::", "2001:db8:ffff::"}}
)

func drawExternal(t *rapid.T, subjects []subject, i int) Own[v1alpha1.ExternalService] {
	var o Own[v1alpha1.ExternalService]
	kind, namespace := "ExternalService", pick(t, "namespace", subjects...).namespace
	if oneIn(t, 3, "of the cluster") {
		kind, namespace = "ClusterExternalService", ""
	}
	o.Object.TypeMeta, o.Object.ObjectMeta = ownMeta(kind, namespace, fmt.Sprintf("x%d", i))
	spec := &o.Object.Spec
	spec.Names = []string{"db.example.org"}
	if !oneIn(t, 6, "without cidrs") {
		spec.CIDRs = several(t, "cidr", 1, 2, serviceCIDRs...)
	}
	for range pick(t, "service ports", 1, 1, 2) {
		spec.Ports = append(spec.Ports, drawServicePort(t))
	}
	if !oneIn(t, 5, "without firewall") {
		spec.Firewall = drawFirewall(t)
	}
	if !oneIn(t, 4, "without authentication") {
		spec.Authentication = drawAuthentication(t, subjects)
	}
	for range pick(t, "sources", 1, 1, 2, 2, 3, 0) {
		spec.Sources = append(spec.Sources, drawSource(t))
	}
	if o.FromServer = oneIn(t, 12, "not understood"); o.FromServer {
		breakExternal(t, spec)
	}
	return o
}

func drawServicePort(t *rapid.T) v1alpha1.ExternalPort {
	port := func(n int32, end int32, protocol corev1.Protocol) v1alpha1.ExternalPort {
		p := v1alpha1.ExternalPort{Port: n, Protocol: protocol}
		if end > 0 {
			p.EndPort = &end
		}
		return p
	}
	return pick(t, "service port", port(80, 0, ""), port(80, 81, ""), port(443, 0, "TCP"), port(8080, 32526, ""), port(53, 0, "UDP"), port(1, 65535, "SCTP"))
}

func drawFirewall(t *rapid.T) *v1alpha1.ExternalFirewall {
	f := &v1alpha1.ExternalFirewall{PublicNetworkAccess: pick(t, "public", "", "", "", v1alpha1.PublicEnabled, v1alpha1.PublicDisabled)}
	if !oneIn(t, 4, "without IP rules") {
		for _, r := range several(t, "ip rule", 1, 3, ruleRanges...) {
			f.IPRules = append(f.IPRules, v1alpha1.IPRule{First: r[0], Last: r[1]})
		}
	}
	if oneIn(t, 8, "rule for Azure") {
		f.IPRules = append(f.IPRules, v1alpha1.IPRule{Name: "AllowAllWindowsAzureIps", First: "0.0.0.0", Last: "0.0.0.0"})
	}
	if oneIn(t, 2, "subnet rules") {
		for _, s := range several(t, "subnet rule", 1, 2, subnetNames...) {
			f.SubnetRules = append(f.SubnetRules, v1alpha1.SubnetRule{Subnet: s})
		}
	}
	f.AllowAzureServices = oneIn(t, 6, "allow azure")
	if oneIn(t, 3, "private endpoints") {
		for _, a := range several(t, "endpoint", 1, 2, endpointIPs...) {
			f.PrivateEndpoints = append(f.PrivateEndpoints, v1alpha1.PrivateEndpoint{Address: a})
		}
	}
	return f
}

func drawAuthentication(t *rapid.T, subjects []subject) *v1alpha1.ExternalAuthentication {
	a := &v1alpha1.ExternalAuthentication{Mode: pick(t, "mode", v1alpha1.IdentityOnly, v1alpha1.IdentityOnly, v1alpha1.IdentityOrPassword)}
	if !oneIn(t, 3, "without resource") {
		a.Resource = pick(t, "resource", resources...)
	}
	if oneIn(t, 4, "admitted absent") {
		return a
	}
	a.Admitted = []v1alpha1.AdmittedIdentity{}
	for range pick(t, "admitted", 1, 2, 2, 3, 3, 0) {
		if oneIn(t, 2, "by SPIFFE ID") {
			id := spiffeID(pick(t, "trust domain", trustDomains...), pick(t, "admitted", subjects...))
			a.Admitted = append(a.Admitted, v1alpha1.AdmittedIdentity{SPIFFEID: id})
			continue
		}
		azure := drawAzure(t)
		a.Admitted = append(a.Admitted, v1alpha1.AdmittedIdentity{Azure: &azure})
	}
	return a
}

func drawSource(t *rapid.T) v1alpha1.ClusterSource {
	var s v1alpha1.ClusterSource
	if oneIn(t, 2, "only some nodes") {
		s.NodeSelector = pick(t, "nodes", map[string]string{"app": "x"}, map[string]string{"env": "x"}, map[string]string{"app": "z"}, map[string]string{"app": "x", "env": "x"})
	}
	switch pick(t, "appears as", "subnet", "addresses", "pods") {
	case "subnet":
		s.Subnet = pick(t, "subnet", subnetNames...)
	case "addresses":
		s.Addresses = several(t, "address", 1, 2, snatCIDRs...)
	default:
		s.PodAddresses = true
	}
	return s
}

// breakExternal adds a part that is not understood.
func breakExternal(t *rapid.T, spec *v1alpha1.ExternalServiceSpec) {
	switch pick(t, "broken", "cidr", "port", "protocol", "mode", "source", "endpoint", "range") {
	case "cidr":
		spec.CIDRs = append(spec.CIDRs, "everywhere")
	case "port":
		spec.Ports = append(spec.Ports, v1alpha1.ExternalPort{Port: 65536})
	case "protocol":
		spec.Ports = append(spec.Ports, v1alpha1.ExternalPort{Port: 443, Protocol: "QUIC"})
	case "mode":
		spec.Authentication = &v1alpha1.ExternalAuthentication{Mode: "Anything"}
	case "source":
		spec.Sources = append(spec.Sources, v1alpha1.ClusterSource{})
	case "endpoint":
		spec.Firewall = &v1alpha1.ExternalFirewall{PrivateEndpoints: []v1alpha1.PrivateEndpoint{{Address: "somewhere"}, {Address: endpointIPs[0]}}}
	default:
		spec.Firewall = &v1alpha1.ExternalFirewall{IPRules: []v1alpha1.IPRule{{First: "10.0.0.0", Last: "far"}}}
	}
}
