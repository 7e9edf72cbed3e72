// Package question turns what people ask ("shop/web", "svc/api:http", "external") into flows over a
// Snapshot, and the decisions on them into one answer.
//
// It must never read input or write output, and never decide a flow itself.
package question

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sallyport.dev/sallyport/internal/netset"
)

// Error is a question that cannot be answered, with what to do about it.
type Error struct {
	Problem string
	Hint    string // may be empty
}

// Error gives the problem and the hint.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Problem
	}
	return e.Problem + " (" + e.Hint + ")"
}

func errorf(hint, format string, args ...any) error {
	return &Error{Problem: fmt.Sprintf(format, args...), Hint: hint}
}

// Term is one end of a question as written, taken apart but not yet looked up.
type Term struct {
	Text      string // as written, without the port
	External  bool
	Prefix    netip.Prefix // an address (all its bits) or a CIDR; invalid if the end is named
	IsCIDR    bool
	Namespace string // empty if not given
	Kind      string // full lower-case singular; empty if not given
	Name      string
	From      netip.Addr // the address after @, or the zero Addr
	Port      PortTerm
}

// PortTerm is the port part of an end.
type PortTerm struct {
	Given bool
	Proto netset.Proto // 0: not given, TCP unless a named port says otherwise
	Range netset.PortRange
	Name  string // a named port; Range is then unused
}

// kinds maps every accepted spelling to the full lower-case singular.
var kinds = map[string]string{}

func init() {
	for kind, others := range map[string][]string{
		"pod":                    {"po", "pods"},
		"deployment":             {"deploy", "deployments"},
		"statefulset":            {"sts", "statefulsets"},
		"daemonset":              {"ds", "daemonsets"},
		"replicaset":             {"rs", "replicasets"},
		"replicationcontroller":  {"rc", "replicationcontrollers"},
		"job":                    {"jobs"},
		"cronjob":                {"cj", "cronjobs"},
		"service":                {"svc", "services"},
		"node":                   {"no", "nodes"},
		"ingress":                {"ing", "ingresses"},
		"gateway":                {"gtw", "gateways"},
		"httproute":              {"httproutes"},
		"grpcroute":              {"grpcroutes"},
		"tlsroute":               {"tlsroutes"},
		"tcproute":               {"tcproutes"},
		"udproute":               {"udproutes"},
		"externalservice":        {"xsvc", "externalservices"},
		"clusterexternalservice": {"cxsvc", "clusterexternalservices"},
	} {
		kinds[kind] = kind
		for _, o := range others {
			kinds[o] = kind
		}
	}
}

// String writes the end, with its port, in a form that ParseTerm reads as the same end.
func (t Term) String() string {
	var body string
	switch {
	case t.External:
		body = "external"
	case t.Prefix.IsValid() && t.IsCIDR:
		body = t.Prefix.String()
	case t.Prefix.IsValid():
		body = t.Prefix.Addr().String()
	default:
		for _, part := range []string{t.Namespace, t.Kind, t.Name} {
			if part != "" {
				body += "/" + part
			}
		}
		body = body[min(1, len(body)):]
	}
	port := t.Port.String()
	if port != "" && t.Prefix.IsValid() && t.Prefix.Addr().Is6() {
		body = "[" + body + "]"
	}
	if t.From.IsValid() {
		at := t.From.String()
		if port != "" && t.From.Is6() {
			at = "[" + at + "]"
		}
		body += "@" + at
	}
	return body + port
}

// String writes the port with its colon, or nothing if none was given.
func (p PortTerm) String() string {
	if !p.Given {
		return ""
	}
	text := ":" + p.Range.String()
	switch {
	case p.Name != "":
		text = ":" + p.Name
	case p.Range == netset.AllPorts:
		text = ":*"
	}
	if p.Proto != 0 {
		text += "/" + p.Proto.String()
	}
	return text
}

const endForms = "an end is ns/name, ns/kind/name, kind/name, node/name, external, an address or a CIDR"

// ParseTerm takes an end apart. A port is allowed only where withPort is set (the second end).
func ParseTerm(text string, withPort bool) (Term, error) {
	if text == "" {
		return Term{}, errorf(endForms, "an end of the question is empty")
	}
	if len(text) > maxTerm {
		return Term{}, errorf(endForms, "an end of %d characters is none", len(text))
	}
	body, port, err := splitPort(text)
	if err != nil {
		return Term{}, err
	}
	t, err := parseBody(body)
	if err != nil {
		return Term{}, err
	}
	if port == "" {
		return t, nil
	}
	if !withPort {
		return Term{}, errorf("the port belongs to the second end, where the connection goes", "%q: the first end has a port", text)
	}
	t.Port, err = ParsePort(port)
	return t, err
}

// splitPort separates the end from its port. IPv6 addresses and CIDRs are bracketed if a port follows.
func splitPort(text string) (body, port string, err error) {
	if rest, ok := strings.CutPrefix(text, "["); ok {
		inner, after, ok := strings.Cut(rest, "]")
		if !ok {
			return "", "", errorf("write [2001:db8::7]:443", "%q: the bracket is not closed", text)
		}
		if err := oddAddress(inner); err != nil {
			return "", "", err
		}
		if after == "" {
			return inner, "", nil
		}
		port, ok := strings.CutPrefix(after, ":")
		if !ok || port == "" {
			return "", "", errorf("write [2001:db8::7]:443", "%q: after the bracket comes a colon and a port", text)
		}
		return inner, port, nil
	}
	if _, ok := parseAddress(text); ok {
		return text, "", nil
	}
	if err := oddAddress(text); err != nil {
		return "", "", err
	}
	name, at, hasAt := strings.Cut(text, "@")
	if hasAt {
		addr, port, err := splitPort(at)
		return name + "@" + addr, port, err
	}
	if strings.Count(text, ":") > 1 {
		return "", "", errorf("an IPv6 end with a port is bracketed: [2001:db8::7]:443, [2001:db8::/32]:443", "%q: more than one colon", text)
	}
	name, port, found := strings.Cut(text, ":")
	if found && port == "" {
		return "", "", errorf("a port is a number, a range a-b, a name or *", "%q: nothing follows the colon", text)
	}
	return name, port, nil
}

// parseAddress reads an address or a CIDR. Zones and v4-mapped addresses are not addresses of packets here.
func parseAddress(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), a.Zone() == "" && !a.Is4In6()
	}
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked(), !p.Addr().Is4In6()
	}
	return netip.Prefix{}, false
}

// oddAddress says why something that reads like an address is none that a packet here can have;
// nil if it does not read like one.
func oddAddress(text string) error {
	addr, _, _ := strings.Cut(text, "/")
	a, err := netip.ParseAddr(addr)
	switch {
	case err != nil:
		return nil
	case a.Zone() != "":
		return errorf("leave the zone out", "%q: an address with a zone means something on one machine only", text)
	case a.Is4In6():
		return errorf("write "+a.Unmap().String(), "%q: a v4-mapped address is no address of a packet", text)
	}
	return nil
}

func parseBody(body string) (Term, error) {
	t := Term{Text: body}
	if body == "external" {
		t.External = true
		return t, nil
	}
	if p, ok := parseAddress(body); ok {
		t.Prefix, t.IsCIDR = p, strings.Contains(body, "/")
		return t, nil
	}
	if addr, _, ok := strings.Cut(body, "/"); ok {
		if a, err := netip.ParseAddr(addr); err == nil {
			return Term{}, errorf(fmt.Sprintf("write %s/%d, or a shorter prefix", a, a.BitLen()), "%q is not a CIDR", body)
		}
	}
	name, at, hasAt := strings.Cut(body, "@")
	if hasAt {
		a, err := netip.ParseAddr(at)
		if err != nil || a.Zone() != "" || a.Is4In6() {
			return Term{}, errorf("write shop/web@10.0.0.5", "%q: %q is not an address", body, at)
		}
		if _, isAddress := parseAddress(name); isAddress || name == "external" {
			return Term{}, errorf("write the address alone", "%q: only a pod or workload can be given an address", body)
		}
		t.From, t.Text = a, name
	}
	return t, t.parseName(name)
}

func (t *Term) parseName(name string) error {
	if len(name) > maxName {
		return errorf(endForms, "a name of %d characters is none", len(name))
	}
	if i := strings.IndexAny(name, ":[]"); i >= 0 {
		return errorf(endForms, "%q: a name has no %q in it", name, name[i])
	}
	parts := strings.Split(name, "/")
	for _, p := range parts {
		if p == "" {
			return errorf(endForms, "%q: a part of the name is empty", name)
		}
	}
	switch len(parts) {
	case 1:
		return errorf(endForms, "%q: the name has no namespace and no kind", name)
	case 2:
		if kind, ok := kinds[strings.ToLower(parts[0])]; ok {
			t.Kind, t.Name = kind, parts[1]
			return nil
		}
		t.Namespace, t.Name = parts[0], parts[1]
		return nil
	case 3:
		kind, ok := kinds[strings.ToLower(parts[1])]
		if !ok {
			return errorf("kinds are those that have pods or lead to them: pod, deployment, service, …", "%q: unknown kind %q", name, parts[1])
		}
		t.Namespace, t.Kind, t.Name = parts[0], kind, parts[2]
		return nil
	}
	return errorf(endForms, "%q: too many parts", name)
}

// maxName is more than any ns/kind/name can have, and maxTerm more than any end.
const (
	maxName = 600
	maxTerm = 1000
)

// ParsePort reads the port part of an end: a number, a range a-b, a name or *, with the protocol
// after a slash.
func ParsePort(text string) (PortTerm, error) {
	p := PortTerm{Given: true}
	body, proto, has := strings.Cut(text, "/")
	if has {
		var err error
		if p.Proto, err = netset.ParseProto(proto); err != nil {
			return PortTerm{}, errorf("write :53/udp", "port %q: %v", text, err)
		}
	}
	if body == "*" {
		p.Range = netset.AllPorts
		return p, nil
	}
	if p.Proto == netset.Other {
		return PortTerm{}, errorf("write :*/icmp", "port %q: icmp has no ports", text)
	}
	r, err := parseRange(body)
	if err == nil {
		p.Range = r
		return p, nil
	}
	if !errors.Is(err, errNotNumeric) {
		return PortTerm{}, err
	}
	if !isPortName(body) {
		return PortTerm{}, errorf("a port is a number, a range a-b, a name or *", "port %q is not a port", text)
	}
	p.Name = body
	return p, nil
}

var errNotNumeric = errors.New("not numeric")

func parseRange(text string) (netset.PortRange, error) {
	first, last, ranged := strings.Cut(text, "-")
	if !ranged {
		last = first
	}
	a, ok := parseNumber(first)
	b, ok2 := parseNumber(last)
	if !ok || !ok2 {
		return netset.PortRange{}, errNotNumeric
	}
	if a < 1 || b > 65535 || b < a {
		return netset.PortRange{}, errorf("ports are 1 to 65535, the lower one first", "port %q is out of range", text)
	}
	return netset.PortRange{First: uint16(a), Last: uint16(b)}, nil
}

// parseNumber reads digits and nothing else; what is too large for a number is too large for a port.
func parseNumber(text string) (n int, ok bool) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		n = 1 << 17
	}
	return n, true
}

// isPortName is the syntax of port names: up to 15 of a-z, 0-9 and -, with a letter.
func isPortName(s string) bool {
	letter := false
	for _, r := range s {
		switch {
		case r >= 'a' && r <= 'z':
			letter = true
		case r >= '0' && r <= '9', r == '-':
		default:
			return false
		}
	}
	return letter && len(s) <= 15
}
