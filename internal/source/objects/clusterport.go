package objects

import (
	"net/netip"
	"regexp"

	"k8s.io/apimachinery/pkg/util/validation"
)

// domainPattern is the pattern of the field's own schema; the "A-z" in it is theirs (C).
var domainPattern = regexp.MustCompile(`^(\*\.)?([a-zA-z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.)+[a-zA-z0-9]([-a-zA-Z0-9_]*[a-zA-Z0-9])?\.?$`)

func (p *policy) checkDomainName(n node, s string) {
	if !domainPattern.MatchString(s) {
		p.add(n.path, n.path+" "+quoteShort(s)+" is not a domain name", "only a leading *. may stand for labels")
	}
}

// checkNetwork is isCIDR of the API server's rule language, which is strict where ipBlock is not.
func (p *policy) checkNetwork(n node, s string) {
	prefix, err := netip.ParsePrefix(s)
	switch {
	case len(s) > 43 || err != nil || prefix.Addr().Is4In6():
		hint := ""
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			hint = "for a single address write " + singleAddress(s)
		}
		p.add(n.path, n.path+" "+quoteShort(s)+" is not a CIDR", hint)
	case prefix.Masked() != prefix:
		p.note(n.path, n.path+" "+quoteShort(s)+" has host bits and is read as "+prefix.Masked().String())
	}
}

// noteNamedPort checks the name of a port: the schema allows any text, but only a proper name can be
// that of a container's port.
func (p *policy) noteNamedPort(path, name string) {
	switch why := validation.IsValidPortName(name); {
	case name == "":
		p.add(path, path+" is empty", "")
	case len(why) > 0:
		p.note(path, path+" "+quoteShort(name)+" matches nothing, because no port can have this name")
	}
}

// checkProtocol is S45 for v1alpha2.
func (p *policy) checkProtocol(n node) {
	field, ok := p.one(n, "tcp", "udp", "sctp", "destinationNamedPort")
	if !ok {
		return
	}
	if name, isName := field.v.(string); isName {
		p.noteNamedPort(field.path, name)
		return
	}
	port, ok := p.one(field, "destinationPort")
	if !ok {
		return
	}
	value, ok := p.one(port, "number", "range")
	if !ok {
		return
	}
	if _, isRange := value.v.(map[string]any); isRange {
		p.checkRange(value)
		return
	}
	p.checkNumber(value, 1, 65535)
}

// checkRange checks the fields start and end.
func (p *policy) checkRange(n node) {
	start, hasStart := p.required(n, "start")
	end, hasEnd := p.required(n, "end")
	if !hasStart || !hasEnd {
		return
	}
	p.checkNumber(start, 1, 65535)
	p.checkNumber(end, 1, 65535)
	s, sOK := start.v.(int64)
	if e, eOK := end.v.(int64); sOK && eOK && s >= e {
		p.add(n.path, n.path+" must start below its end", "for a single port give its number")
	}
}

// checkAdminPort is the same for v1alpha1.
func (p *policy) checkAdminPort(n node) {
	field, ok := p.one(n, "portNumber", "namedPort", "portRange")
	if !ok {
		return
	}
	_, name, _ := cutLast(field.path)
	switch name {
	case "namedPort":
		if s, ok := field.v.(string); ok {
			p.noteNamedPort(field.path, s)
		}
		return
	case "portRange":
		p.checkRange(field)
	case "portNumber":
		if port, ok := p.required(field, "port"); ok {
			p.checkNumber(port, 1, 65535)
		}
	}
	if proto := field.child("protocol"); proto.v != nil {
		p.checkEnum(proto, []string{"TCP", "UDP", "SCTP"})
	}
}
