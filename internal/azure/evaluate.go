package azure

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// What stands for a subscription and a resource group that are not known: no name has such characters, so that what
// hangs on them is seen wherever it gets to.
const (
	unknownSubscription = "<subscription>"
	unknownGroup        = "<resource-group>"
)

// open tells whether a text hangs on where a template will be deployed.
func open(s string) bool { return whatIsOpen(s) != "" }

// whatIsOpen names what has to be filled in.
func whatIsOpen(s string) string {
	var out []string
	for _, unknown := range []string{unknownSubscription, unknownGroup} {
		if strings.Contains(s, unknown) {
			out = append(out, unknown)
		}
	}
	return strings.Join(out, " and ")
}

const (
	maxSteps   = 100_000
	maxNesting = 100
	maxText    = 64 << 10
)

// evaluation is one expression and where it stands.
type evaluation struct {
	at   node
	text string
}

func (ev evaluation) fail(format string, args ...any) node {
	ev.at.fail("%s: "+format+" (hint: "+deployed+")", append([]any{quoted(ev.text)}, args...)...)
	return ev.plain(nil)
}

// plain is a result in which nothing is left to evaluate.
func (ev evaluation) plain(v any) node {
	return node{reader: ev.at.reader, file: ev.at.file, path: ev.at.path, v: v}
}

// spend counts work against what one import may do.
func (ev evaluation) spend(size int) bool {
	return ev.at.work(size)
}

// evaluate gives what an expression stands for. Whatever it cannot tell is a problem, never a guess.
func (n node) evaluate(text string) node {
	ev := evaluation{n, text}
	n.depth++
	defer func() { n.depth-- }()
	if n.depth > maxNesting {
		return ev.fail("it refers to itself, or is nested too deep")
	}
	if !ev.spend(len(text)) {
		return ev.plain(nil)
	}
	e, err := parse(text[1 : len(text)-1])
	if err != nil {
		return ev.fail("%s", err)
	}
	out := ev.run(e).value()
	out.file, out.path = n.file, n.path
	return out
}

// run evaluates a part of an expression. What uses a text looks at all of it, so that it counts by its length.
func (ev evaluation) run(e *expression) node {
	var out node
	switch {
	case ev.at.err != nil:
		return ev.plain(nil)
	case e.of != nil:
		out = ev.part(ev.run(e.of).value(), ev.run(e.index).value().v)
	case e.call != "":
		out = ev.call(e)
	default:
		return ev.plain(e.literal)
	}
	if text, ok := out.v.(string); ok && !ev.spend(len(text)) {
		return ev.plain(nil)
	}
	return out
}

// part is an access to a field of an object or an entry of a list.
func (ev evaluation) part(of node, index any) node {
	if ev.at.err != nil {
		return of
	}
	switch v := of.v.(type) {
	case *object:
		name, _ := index.(string)
		found, ok := v.get(name)
		if !ok {
			return ev.fail("there is no %s in the object, or its value is not known before it is deployed", quoted(name))
		}
		of.v = found
		return of
	case []any:
		number, _ := index.(json.Number)
		i, err := strconv.Atoi(number.String())
		if err != nil || i < 0 || i >= len(v) {
			return ev.fail("there is no entry %s in a list of %d", kindOf(index), len(v))
		}
		of.v = v[i]
		return of
	}
	return ev.fail("%s has no parts", kindOf(of.v))
}

func (ev evaluation) variable(name string) node {
	v := ev.at.scope.variables.child(name)
	if v.v == nil && ev.at.err == nil {
		return ev.fail("there is no variable %s (those made by copy are not evaluated)", quoted(name))
	}
	return v
}

// allowed refuses what Azure would refuse: a value that is misspelled would be evaluated as another one.
func (ev evaluation) allowed(name string, value node) node {
	list := ev.at.scope.declared.child(name).child("allowedValues").items()
	if value.v == nil || len(list) == 0 || slices.ContainsFunc(list, func(a node) bool { return same(a.v, value.v) }) {
		return value
	}
	return ev.fail("%s is none of the values that the parameter %s may have", kindOf(value.v), quoted(name))
}

// same compares values that have no parts; what has parts is taken to be the same.
func same(a, b any) bool {
	switch b.(type) {
	case *object, []any:
		return true
	}
	switch a.(type) {
	case *object, []any:
		return false
	}
	x, text := a.(string)
	y, both := b.(string)
	return a == b || text && both && strings.EqualFold(x, y)
}

// parameter gives a parameter's value: what was given, else its default.
func (ev evaluation) parameter(name string) node {
	s := ev.at.scope
	if given := s.given.child(name); given.v != nil {
		if secret := given.child("reference"); secret.v != nil {
			return ev.fail("the parameter %s is kept in a key vault", quoted(name))
		}
		if o, ok := given.v.(*object); ok && o.find("value") < 0 {
			given.fail("it has no value (hint: write {\"value\": …})")
		}
		return ev.allowed(name, given.child("value").value())
	}
	declared := s.declared.child(name)
	if declared.v == nil {
		return ev.fail("there is no parameter %s", quoted(name))
	}
	value := declared.child("defaultValue")
	if nullable := declared.child("nullable"); value.v == nil && nullable.v != true {
		return ev.fail("the parameter %s has neither a value nor a default", quoted(name))
	}
	return value
}
