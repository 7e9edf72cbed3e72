package azure

import "strings"

// scope is what the names in expressions stand for.
type scope struct {
	declared, given, variables, resources node
	subscription, group                   node // where a nested deployment goes; absent where that is as without it
}

// newScope is that of a template.
func newScope(template node) *scope {
	nothing := node{reader: template.reader}
	s := &scope{given: nothing, subscription: nothing, group: nothing}
	template.scope = s
	s.declared, s.variables, s.resources = template.child("parameters"), template.child("variables"), template.child("resources")
	return s
}

// inside gives the scope in which the template of a nested deployment is evaluated: its own, or the one around it.
func (n node) inside() *scope {
	p := n.child("properties")
	if !strings.EqualFold(p.child("expressionEvaluationOptions").child("scope").text(), "inner") {
		return n.scope
	}
	s := newScope(p.child("template"))
	s.given, s.subscription, s.group = p.child("parameters"), n.child("subscriptionId"), n.child("resourceGroup")
	if s.subscription.v == nil {
		s.subscription = n.scope.subscription
	}
	if s.group.v == nil {
		s.group = n.scope.group
	}
	return s
}

// reference gives what a nested deployment puts out; of anything else it is not known before it is deployed. A
// deployment is named by its ID, by its symbolic name or, where there are none, by its name.
func (ev evaluation) reference(to string) node {
	list := ev.at.scope.resources
	_, name, byName := strings.Cut(strings.ToLower(to), "/providers/"+typeDeployment+"/")
	if _, symbolic := list.v.(*object); !byName && !symbolic {
		name, byName = to, true
	}
	for _, n := range entries(list) {
		if ev.at.err != nil {
			break
		}
		if !ev.spend(0) || !strings.EqualFold(n.child("type").text(), typeDeployment) {
			continue
		}
		if byName && !strings.EqualFold(n.child("name").text(), name) || !byName && !strings.EqualFold(n.path, list.child(to).path) {
			continue
		}
		out := ev.plain(&object{})
		out.v.(*object).add("outputs", n.child("properties").child("template").child("outputs").v)
		out.scope = n.inside()
		return out
	}
	return ev.fail("what %s is will be known once it is deployed", quoted(to))
}

// entries lists resources, which are a list or, with symbolic names, an object.
func entries(list node) []node {
	o, symbolic := list.v.(*object)
	if !symbolic {
		return list.items()
	}
	out := make([]node, len(o.names))
	for i, name := range o.names {
		out[i] = list.child(name)
	}
	return out
}
