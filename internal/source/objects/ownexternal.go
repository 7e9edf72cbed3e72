package objects

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
)

func (p *policy) checkExternal(spec node) {
	names, cidrs, firewall := spec.child("names"), spec.child("cidrs"), spec.child("firewall")
	p.set(names, 1, 16, func(n node) { p.text(n, 0, 253, dnsPattern, "a DNS name in lower case") })
	p.set(cidrs, 1, 64, p.checkExactCIDR)
	if ports, ok := p.required(spec, "ports"); ok {
		p.checkOwnCount(ports, 1, 32)
		for _, n := range ports.items() {
			p.checkExternalPort(n)
		}
	}
	if firewall.v != nil {
		p.checkFirewall(firewall)
	}
	if names.v == nil && cidrs.v == nil && firewall.child("privateEndpoints").v == nil {
		p.add(spec.path, "spec names nothing", "set names, cidrs or firewall.privateEndpoints")
	}
	if auth := spec.child("authentication"); auth.v != nil {
		p.checkAuthentication(auth)
	}
	sources := spec.child("sources")
	p.checkOwnCount(sources, 0, 32)
	for _, n := range sources.items() {
		p.checkSource(n)
	}
}

func (p *policy) checkExternalPort(n node) {
	port, ok := p.required(n, "port")
	if !ok {
		return
	}
	p.checkProtocolName(n.child("protocol"))
	p.checkPortRange(port, n.child("endPort"))
}

// checkPortRange checks a port by number, and the end of its range, which may be absent.
func (p *policy) checkPortRange(port, end node) {
	p.checkNumber(port, 1, 65535)
	p.checkNumber(end, 1, 65535)
	if first, ok := port.v.(int64); ok {
		if last, ok := end.v.(int64); ok && last < first {
			p.add(end.path, fmt.Sprintf("%s %d is below port %d", end.path, last, first), "")
		}
	}
}

func (p *policy) checkFirewall(firewall node) {
	p.checkEnum(firewall.child("publicNetworkAccess"), []string{string(v1alpha1.PublicEnabled), string(v1alpha1.PublicDisabled)})
	rules := firewall.child("ipRules")
	p.checkOwnCount(rules, 0, 256)
	for _, n := range rules.items() {
		p.checkRuleName(n)
		p.checkIPRule(n)
	}
	subnets := firewall.child("subnetRules")
	p.checkOwnCount(subnets, 0, 128)
	for _, n := range subnets.items() {
		p.checkRuleName(n)
		if subnet, ok := p.required(n, "subnet"); ok {
			p.checkSubnet(subnet)
		}
	}
	endpoints := firewall.child("privateEndpoints")
	p.checkOwnCount(endpoints, 1, 32)
	for _, n := range endpoints.items() {
		p.checkRuleName(n)
		if address, ok := p.required(n, "address"); ok {
			p.checkAddress(address)
		}
	}
}

// subnetPattern refuses places that an import left to be filled in: taken as a name they match no subnet, and look like a closed door.
var subnetPattern = regexp.MustCompile(`^[^<>]*$`)

func (p *policy) checkSubnet(n node) {
	p.text(n, 1, 512, subnetPattern, "a subnet yet: write its own for what stands in < and >")
}

func (p *policy) checkRuleName(n node) { p.text(n.child("name"), 0, 128, nil, "") }

func (p *policy) checkIPRule(n node) {
	first, ok := p.required(n, "first")
	last, ok2 := p.required(n, "last")
	if !ok || !ok2 {
		return
	}
	a, b := p.checkAddress(first), p.checkAddress(last)
	switch {
	case !a.IsValid() || !b.IsValid():
	case a.Is4() != b.Is4():
		p.add(n.path, n.path+" has ends of two families", "")
	case b.Less(a):
		p.note(n.path, n.path+" ends before it begins and admits nothing")
	}
}

// checkAddress gives the address, or the zero Addr and a problem.
func (p *policy) checkAddress(n node) netip.Addr {
	s, ok := n.v.(string)
	if !ok {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" || a.Is4In6() || len(s) > 39 {
		p.add(n.path, n.path+" "+quoteShort(s)+" is not an IP address", "")
		return netip.Addr{}
	}
	return a
}

// checkExactCIDR is isCIDR of the API server's rule language, without host bits.
func (p *policy) checkExactCIDR(n node) {
	s, _ := n.v.(string)
	prefix, err := netip.ParsePrefix(s)
	switch {
	case err != nil || prefix.Addr().Is4In6() || len(s) > 43:
		hint := ""
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			hint = "for a single address write " + singleAddress(s)
		}
		p.add(n.path, n.path+" "+quoteShort(s)+" is not a CIDR", hint)
	case prefix.Masked() != prefix:
		p.add(n.path, n.path+" "+quoteShort(s)+" has host bits", "write "+prefix.Masked().String())
	}
}

func (p *policy) checkAuthentication(auth node) {
	if mode, ok := p.required(auth, "mode"); ok {
		p.checkEnum(mode, []string{string(v1alpha1.IdentityOnly), string(v1alpha1.IdentityOrPassword)})
	}
	p.checkResource(auth.child("resource"))
	admitted := auth.child("admitted")
	p.checkOwnCount(admitted, 0, 256)
	for _, n := range admitted.items() {
		field, ok := p.one(n, "azure", "spiffeID")
		switch {
		case !ok:
		case strings.HasSuffix(field.path, ".azure"):
			p.checkAzureIdentity(field)
		default:
			p.checkSPIFFE(field, spiffeIDPattern, "a SPIFFE ID such as spiffe://example.org/ns/shop/sa/web")
		}
	}
}

func (p *policy) checkSource(n node) {
	p.checkLabels(n.child("nodeSelector"), 16)
	p.checkSubnet(n.child("subnet"))
	p.set(n.child("addresses"), 1, 64, p.checkExactCIDR)
	set := 0
	for _, k := range n.keys() {
		if k == "subnet" || k == "addresses" || k == "podAddresses" && n.child(k).v != false {
			set++
		}
	}
	if set != 1 && !anyUnder(p.problems, n.path) {
		p.add(n.path, n.path+" needs exactly one of subnet, addresses, podAddresses", "")
	}
}

// defaultExternal is what an API server would have filled in.
func defaultExternal(spec *v1alpha1.ExternalServiceSpec) {
	for i := range spec.Ports {
		if spec.Ports[i].Protocol == "" {
			spec.Ports[i].Protocol = corev1.ProtocolTCP
		}
	}
	if f := spec.Firewall; f != nil && f.PublicNetworkAccess == "" {
		f.PublicNetworkAccess = v1alpha1.PublicEnabled
	}
}
