package azure

import (
	"strings"
)

// Az holds the output of az about one server.
type Az struct {
	Server           File
	FirewallRules    []File // of IPv4 and of IPv6
	VnetRules        File
	PrivateEndpoints []File // and network interfaces
}

// FromAz turns the output of az into a Service.
func FromAz(in *Az) (*Service, error) {
	r := &reader{}
	root, err := in.Server.root(r, ServerCommand)
	if err != nil {
		return nil, err
	}
	s := root.server()
	if r.err != nil {
		return nil, r.err
	}
	for i := range in.FirewallRules {
		for _, n := range r.list(&in.FirewallRules[i], RulesCommand, true) {
			n.belongs(s.Name)
			s.ipRule(n, n.child("name").text())
		}
	}
	for _, n := range r.list(&in.VnetRules, VnetRulesCommand, true) {
		n.belongs(s.Name)
		s.subnetRule(n, n.child("name").text())
	}
	e := newEndpoints()
	for i := range in.PrivateEndpoints {
		for _, n := range r.list(&in.PrivateEndpoints[i], EndpointsCommand, false) {
			e.read(n, s.Name, n.child("name").text())
		}
	}
	s.endpoints(e, root.prop("privateEndpointConnections").items())
	admins := root.prop("administrators")
	s.entraOnly(admins.child("azureADOnlyAuthentication").truth(), admins.child("login").text())
	if len(in.FirewallRules) == 1 {
		s.ask(IPv6RulesCommand, "spec.firewall.ipRules: rules for IPv6 are a list of their own, which a second --firewall-rules takes")
	}
	s.finish("")
	if r.err != nil {
		return nil, r.err
	}
	return s, nil
}

// root reads a file that holds one object.
func (f *File) root(r *reader, command string) (node, error) {
	v, err := f.read(command)
	if err != nil {
		return node{}, err
	}
	switch v := v.(type) {
	case *object:
	case []any:
		return node{}, f.errorf("a list of %d, where one is wanted (hint: %s)", len(v), command)
	default:
		return node{}, f.errorf("%s, where an object is wanted (hint: %s)", kindOf(v), command)
	}
	return node{reader: r, file: f, v: v}, nil
}

// list reads a file that holds a list, as az prints it or as the API does. One object alone is a list of one, unless
// the whole list is wanted, of which one is not to be mistaken for all.
func (r *reader) list(f *File, command string, whole bool) []node {
	if r.err != nil {
		return nil
	}
	v, err := f.read(command)
	if err != nil {
		r.err = err
		return nil
	}
	n := node{reader: r, file: f, v: v}
	switch v := v.(type) {
	case []any:
		return n.items()
	case *object:
		if list, ok := v.get("value"); ok && list != nil {
			if next := n.child("nextLink"); !next.absent() {
				next.fail("the list goes on there, and is not whole (hint: %s)", command)
			}
			return n.child("value").items()
		}
		if !whole {
			return []node{n}
		}
	}
	n.fail("%s, where a list is wanted (hint: %s)", kindOf(v), command)
	return nil
}

// server reads what az says of the server itself, except for the ways in.
func (n node) server() *Service {
	name := n.prop("fullyQualifiedDomainName")
	fqdn := strings.ToLower(name.text())
	of := n.child("type").text()
	switch {
	case of != "" && !strings.EqualFold(of, typeServer):
		n.child("type").fail("%s is not Microsoft.Sql/servers (hint: %s)", quoted(of), ServerCommand)
	case of == "" && serverOf(n.child("id").id()) == "" || fqdn == "":
		n.fail("type or fullyQualifiedDomainName is missing: this is not a SQL server (hint: %s)", ServerCommand)
	case !hostPattern.MatchString(fqdn) || len(fqdn) > 253:
		name.fail("%s is not the DNS name of a server", quoted(fqdn))
	}
	if n.err != nil {
		return nil
	}
	s := newService(fqdn)
	n.belongs(s.Name)
	s.publicAccess(n.prop("publicNetworkAccess"))
	return s
}

const (
	serversOf   = "/providers/microsoft.sql/servers/"
	connections = "privateendpointconnections"
)

// serverOf gives the server in a resource ID, in lower case; "" where there is none.
func serverOf(id string) string {
	_, rest, _ := strings.Cut(strings.ToLower(id), serversOf)
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// belongs refuses an object whose ID says that it is of another server.
func (n node) belongs(server string) {
	id := n.child("id")
	if of := serverOf(id.id()); of != "" && of != server {
		id.fail("this is of the server %s, and not of %s", quoted(of), server)
	}
}
