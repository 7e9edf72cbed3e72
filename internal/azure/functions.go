package azure

import (
	"encoding/json"
	"strconv"
	"strings"
)

// call evaluates a function; arguments are looked at only where they count.
func (ev evaluation) call(e *expression) node {
	name := strings.ToLower(e.call)
	if least, most, known := arity(name); !known {
		return ev.fail("the function %s is not evaluated here", shown(e.call))
	} else if len(e.args) < least || len(e.args) > most {
		return ev.fail("the function %s is called with %d arguments", e.call, len(e.args))
	}
	switch name {
	case "parameters":
		return ev.parameter(ev.str(e.args[0]))
	case "variables":
		return ev.variable(ev.str(e.args[0]))
	case "reference":
		return ev.reference(ev.str(e.args[0]))
	case "true", "false":
		return ev.plain(name == "true")
	case "null":
		return ev.plain(nil)
	case "if":
		if ev.bool(e.args[0]) {
			return ev.run(e.args[1])
		}
		return ev.run(e.args[2])
	case "and", "or":
		for _, a := range e.args {
			if ev.bool(a) != (name == "and") {
				return ev.plain(name == "or")
			}
		}
		return ev.plain(name == "and")
	case "not":
		return ev.plain(!ev.bool(e.args[0]))
	case "equals":
		return ev.equals(ev.run(e.args[0]).value(), ev.run(e.args[1]).value())
	case "empty":
		return ev.empty(ev.run(e.args[0]).value())
	case "coalesce":
		for _, a := range e.args {
			if v := ev.run(a).value(); v.v != nil {
				return v
			}
		}
		return ev.plain(nil)
	}
	return ev.textCall(name, e.args)
}

// arity says how many arguments a function takes; known is false where it is not evaluated here.
func arity(name string) (least, most int, known bool) {
	const many = 1000
	switch name {
	case "true", "false", "null", "subscription", "resourcegroup":
		return 0, 0, true
	case "parameters", "variables", "not", "empty", "tolower", "toupper":
		return 1, 1, true
	case "reference":
		return 1, 3, true
	case "equals":
		return 2, 2, true
	case "if":
		return 3, 3, true
	case "concat", "and", "or", "coalesce", "format":
		return 1, many, true
	case "resourceid":
		return 2, many, true
	case "extensionresourceid":
		return 3, many, true
	}
	return 0, 0, false
}

// textCall evaluates the functions that make texts, and those that say where a template goes.
func (ev evaluation) textCall(name string, list []*expression) node {
	switch name {
	case "subscription":
		id := ev.subscription()
		return ev.plain(fields("subscriptionId", id, "id", "/subscriptions/"+id))
	case "resourcegroup":
		group := ev.group()
		return ev.plain(fields("name", group, "id", "/subscriptions/"+ev.subscription()+"/resourceGroups/"+group))
	}
	args := make([]string, len(list))
	for i, a := range list {
		args[i] = ev.str(a)
	}
	if ev.at.err != nil {
		return ev.plain(nil)
	}
	switch name {
	case "tolower":
		return ev.made(strings.ToLower(args[0]))
	case "toupper":
		if open(args[0]) {
			return ev.fail("it hangs on the subscription or resource group, which a template does not say")
		}
		return ev.made(strings.ToUpper(args[0]))
	case "concat":
		return ev.made(args...)
	case "format":
		return ev.format(args[0], args[1:])
	case "extensionresourceid":
		return ev.resource(args[0], args[1], args[2:])
	}
	return ev.resourceID(args)
}

// made joins texts, as far as that is a text that anybody means.
func (ev evaluation) made(parts ...string) node {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	if size > maxText {
		return ev.fail("it makes a text of more than %d bytes", maxText)
	}
	if !ev.spend(size) {
		return ev.plain(nil)
	}
	return ev.plain(strings.Join(parts, ""))
}

func fields(pairs ...string) *object {
	o := &object{}
	for i := 0; i < len(pairs); i += 2 {
		o.add(pairs[i], pairs[i+1])
	}
	return o
}

// str evaluates an argument that is a text, or a number.
func (ev evaluation) str(e *expression) string {
	switch v := ev.run(e).value().v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		ev.fail("a text is wanted, not %s", kindOf(v))
		return ""
	}
}

func (ev evaluation) bool(e *expression) bool {
	v := ev.run(e).value().v
	b, ok := v.(bool)
	if !ok {
		ev.fail("true or false is wanted, not %s", kindOf(v))
	}
	return b
}

func (ev evaluation) equals(a, b node) node {
	for _, v := range []any{a.v, b.v} {
		switch v := v.(type) {
		case string:
			if open(v) {
				return ev.fail("it hangs on the subscription or resource group, which a template does not say")
			}
		case *object, []any:
			return ev.fail("lists and objects are not compared here")
		}
	}
	return ev.plain(a.v == b.v)
}

func (ev evaluation) empty(n node) node {
	switch v := n.v.(type) {
	case nil:
		return ev.plain(true)
	case string:
		return ev.plain(v == "")
	case []any:
		return ev.plain(len(v) == 0)
	case *object:
		return ev.plain(len(v.names) == 0)
	}
	return ev.fail("%s is neither empty nor not", kindOf(n.v))
}

// format puts arguments where a text has their numbers in braces.
func (ev evaluation) format(text string, args []string) node {
	var parts []string
	for {
		before, after, found := strings.Cut(text, "{")
		parts = append(parts, strings.ReplaceAll(before, "}}", "}"))
		if !found {
			return ev.made(parts...)
		}
		if rest, escaped := strings.CutPrefix(after, "{"); escaped {
			parts, text = append(parts, "{"), rest
			continue
		}
		number, rest, closed := strings.Cut(after, "}")
		if !closed {
			return ev.fail("a brace is not closed in %s", quoted(text))
		}
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= len(args) {
			return ev.fail("{%s} stands for none of the %d arguments of format", shown(number), len(args))
		}
		parts, text = append(parts, args[i]), rest
		if !ev.spend(len(args[i])) {
			return ev.plain(nil)
		}
	}
}

// place evaluates where a nested deployment goes.
func place(n node, unknown string) string {
	if s := n.id(); s != "" {
		return s
	}
	return unknown
}

func (ev evaluation) subscription() string {
	return place(ev.at.scope.subscription, unknownSubscription)
}

func (ev evaluation) group() string { return place(ev.at.scope.group, unknownGroup) }

// resourceID is resourceId([subscription], [group], type, name, …).
func (ev evaluation) resourceID(args []string) node {
	before := 0
	for before < len(args) && !strings.Contains(args[before], "/") {
		before++
	}
	subscription, group := ev.subscription(), ev.group()
	switch before {
	case 0:
	case 1:
		group = args[0]
	case 2:
		subscription, group = args[0], args[1]
	default:
		return ev.fail("resourceId has no type such as Microsoft.Sql/servers")
	}
	if before == len(args) {
		return ev.fail("resourceId has no type such as Microsoft.Sql/servers")
	}
	return ev.resource("/subscriptions/"+subscription+"/resourceGroups/"+group, args[before], args[before+1:])
}

// resource writes the ID of a resource in a group.
func (ev evaluation) resource(group, kind string, names []string) node {
	types := strings.Split(kind, "/")
	if len(types)-1 != len(names) {
		return ev.fail("%s needs %d names, and has %d", quoted(kind), len(types)-1, len(names))
	}
	parts := []string{group, "/providers/", types[0]}
	for i, name := range names {
		parts = append(parts, "/", types[i+1], "/", name)
	}
	return ev.made(parts...)
}
