package azure

import (
	"slices"
	"strings"
)

// What is read of a template, by type in lower case.
const (
	typeServer     = "microsoft.sql/servers"
	typeEndpoint   = "microsoft.network/privateendpoints"
	typeDeployment = "microsoft.resources/deployments"
)

var childTypes = []string{"firewallrules", "ipv6firewallrules", "virtualnetworkrules", "azureadonlyauthentications", "administrators", "connectionpolicies", connections}

// Bounds of what is read of a template; Azure takes 800 resources in all.
const (
	maxResources = 5000
	maxServers   = 100
)

// wanted tells whether resources of a type are read.
func wanted(kind string) bool {
	child, ok := strings.CutPrefix(kind, typeServer+"/")
	return kind == typeServer || kind == typeEndpoint || ok && slices.Contains(childTypes, child)
}

// resource is one that a template deploys.
type resource struct {
	node
	kind string // full, in lower case
	name string // full, with slashes
}

// template collects the resources that are read, those of nested deployments among them.
type template struct {
	*reader
	list []resource
}

// FromTemplate turns an ARM template, and a file of parameters if it is not nil, into a Service for each server in
// it, in its order.
func FromTemplate(file, parameters *File) ([]*Service, error) {
	t := &template{reader: &reader{}}
	root, err := file.root(t.reader, TemplateCommand)
	if err != nil {
		return nil, err
	}
	top := newScope(root)
	if top.given, err = given(t.reader, parameters); err != nil {
		return nil, err
	}
	top.checkGiven()
	root.scope = top
	if root.child("resources").v == nil {
		root.fail("resources are missing: this is not an ARM template (hint: %s)", TemplateCommand)
	}
	t.walk(root.child("resources"), "", nil)
	if t.err != nil {
		return nil, t.err
	}
	out := t.services(file)
	if t.err != nil {
		return nil, t.err
	}
	return out, nil
}

// given reads a file of parameters.
func given(r *reader, f *File) (node, error) {
	if f == nil {
		return node{reader: r}, nil
	}
	root, err := f.root(r, ParametersCommand)
	if err != nil {
		return node{}, err
	}
	out := root.child("parameters")
	if _, ok := out.v.(*object); !ok {
		return node{}, f.errorf("parameters are missing: this is not a file of parameters (hint: see az deployment group create --help)")
	}
	return out, nil
}

// checkGiven refuses parameters that the template does not have: a name that is misspelled leaves the default.
func (s *scope) checkGiven() {
	list, ok := s.given.v.(*object)
	if !ok {
		return
	}
	for _, name := range list.names {
		if s.declared.child(name).v == nil {
			s.given.child(name).fail("the template has no parameter of this name")
		}
	}
}

// walk goes through resources. kind and up are of the resource that they lie in.
func (t *template) walk(list node, kind string, up []node) {
	if _, text := list.v.(string); text {
		list.fail("a list of resources is wanted, not %s", kindOf(list.v))
		return
	}
	for _, n := range entries(list) {
		if t.err != nil {
			return
		}
		t.resource(n, kind, up)
	}
}

func (t *template) resource(n node, kind string, up []node) {
	own := strings.ToLower(n.child("type").text())
	if kind != "" && !strings.Contains(own, ".") {
		own = kind + "/" + own
	} else {
		up = nil
	}
	up = append(slices.Clip(up), n.child("name"))
	switch {
	case n.child("existing").v == true:
		return
	case own == typeDeployment:
		t.nested(n)
		return
	case own == typeEndpoint && !n.endpointForServers():
		return // it is to something else, and neither its loop nor its condition matters
	case wanted(own) && len(t.list) == maxResources:
		n.fail("more than %d resources that would be read", maxResources)
	case wanted(own) && n.isDeployed():
		r := resource{node: n, kind: own}
		for i, name := range up {
			if i > 0 {
				r.name += "/"
			}
			r.name += name.text()
		}
		if strings.Count(r.name, "/") != strings.Count(own, "/")-1 {
			n.child("name").fail("%s is not a name for %s: there is one for each part of the type", quoted(r.name), shown(own))
		}
		t.list = append(t.list, r)
	}
	t.walk(n.child("resources"), own, up)
}

// isDeployed asks the condition, and refuses loops.
func (n node) isDeployed() bool {
	if c := n.child("condition").truth(); c != nil && !*c {
		return false
	}
	for _, c := range []node{n.child("copy"), n.child("properties").child("copy")} {
		if c.v != nil {
			c.fail("loops (copy) are not evaluated (hint: use --server and its kind with the output of az for what is deployed)")
		}
	}
	return true
}

// nested goes through a nested deployment, such as a module of Bicep.
func (t *template) nested(n node) {
	if !mentions(n.v) || !n.isDeployed() {
		return
	}
	p := n.child("properties")
	inner := p.child("template")
	if inner.v == nil {
		p.fail("linked templates are not fetched (hint: put its template in, as az bicep build does, or use --server and its kind)")
		return
	}
	inner.scope = n.inside()
	t.walk(inner.child("resources"), "", nil)
}

// mentions tells whether something in a value may matter: the type of a resource that is read, or a link to another
// template, which may have some.
func mentions(v any) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, mentions)
	case *object:
		for i, name := range v.names {
			if kind, ok := v.values[i].(string); ok && strings.EqualFold(name, "type") && wanted(strings.ToLower(kind)) {
				return true
			}
			if strings.EqualFold(name, "templateLink") || mentions(v.values[i]) {
				return true
			}
		}
	}
	return false
}

// services makes a Service of each server.
func (t *template) services(file *File) []*Service {
	var out []*Service
	for _, r := range t.list {
		if r.kind != typeServer {
			continue
		}
		name := strings.ToLower(r.name)
		switch {
		case !serverPattern.MatchString(name):
			r.child("name").fail("%s cannot be the name of a server", quoted(r.name))
		case len(out) == maxServers:
			r.fail("more than %d servers", maxServers)
		case slices.ContainsFunc(out, func(s *Service) bool { return s.Name == name }):
			r.child("name").fail("the server %s is in the template twice", name)
		}
		if t.err != nil {
			return nil
		}
		out = append(out, t.service(r, name))
	}
	if len(out) == 0 && t.err == nil {
		t.err = file.errorf("no Microsoft.Sql/servers is deployed by it")
	}
	if others := t.others(out); len(others) > 0 {
		for _, s := range out {
			s.note("the template also has rules for servers that it does not deploy: %s", few(others))
		}
	}
	return out
}

// others names the servers that parts of the template are about and that it does not deploy.
func (t *template) others(have []*Service) []string {
	var out []string
	for _, r := range t.list {
		name, _, child := strings.Cut(strings.ToLower(r.name), "/")
		if child && r.kind != typeEndpoint && !slices.ContainsFunc(have, func(s *Service) bool { return s.Name == name }) {
			out = append(out, shown(name))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// service reads a server and the resources that belong to it.
func (t *template) service(server resource, name string) *Service {
	s := newService(name + ".database.windows.net")
	s.note("spec.names: a template does not say the server's DNS name; this is the one in Azure's public cloud (others end with database.usgovcloudapi.net or database.chinacloudapi.cn, and so does spec.authentication.resource)")
	s.note("spec.firewall: a template says what it makes; rules that the server has or gets in another way are not in it")
	props := server.child("properties")
	s.publicAccess(props.child("publicNetworkAccess"))
	admins := props.child("administrators")
	only, login, policy := admins.child("azureADOnlyAuthentication").truth(), admins.child("login").perhaps(), ""
	e := newEndpoints()
	var said []node
	for _, r := range t.list {
		if r.kind == typeEndpoint {
			e.read(r.node, name, r.name)
			continue
		}
		of, rule, _ := strings.Cut(r.name, "/")
		if r.kind == typeServer || !strings.EqualFold(of, name) {
			continue
		}
		switch child := strings.TrimPrefix(r.kind, typeServer+"/"); child {
		case "firewallrules", "ipv6firewallrules":
			s.ipRule(r.node, rule)
		case "virtualnetworkrules":
			s.subnetRule(r.node, rule)
		case "azureadonlyauthentications":
			only = r.entraOnly(only)
		case "administrators":
			login = r.prop("login").perhaps()
		case "connectionpolicies":
			policy = r.connectionPolicy()
		case connections:
			said = append(said, r.node)
		}
	}
	s.endpoints(e, said)
	s.entraOnly(only, login)
	s.finish(policy)
	return s
}

// entraOnly reads the child of a server that says whether passwords are off, beside what the server says itself.
func (r *resource) entraOnly(before *bool) *bool {
	n := r.prop("azureADOnlyAuthentication")
	now := n.truth()
	if now != nil && before != nil && *now != *before {
		n.fail("it says %t, and another place of the template %t", *now, *before)
	}
	if now == nil {
		return before
	}
	return now
}

func (r *resource) connectionPolicy() string {
	n := r.prop("connectionType")
	v := n.text()
	for _, known := range []string{policyDefault, policyProxy, policyRedirect} {
		if strings.EqualFold(v, known) {
			return known
		}
	}
	n.fail("%s is none of Default, Proxy, Redirect", quoted(v))
	return ""
}
