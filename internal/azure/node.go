package azure

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"sallyport.dev/sallyport/internal/names"
)

// reader keeps the first problem of an import. What is read after it is worth nothing and is thrown away.
type reader struct {
	err   error
	steps int // of evaluation, for all expressions together
	depth int // of the expression at hand
}

// node is a value and where it is. Nothing is evaluated before it is asked for: most of a template does not matter
// here.
type node struct {
	*reader
	file  *File
	path  string
	v     any
	scope *scope // that texts are expressions in; nil where they are plain
}

// fail keeps a problem of this value.
func (n node) fail(format string, args ...any) {
	if n.err != nil {
		return
	}
	text := fmt.Sprintf(format, args...)
	if n.path != "" {
		text = shown(n.path) + ": " + text
	}
	n.err = n.file.errorf("%s", text)
}

// work counts steps against what one import may do, and tells whether it may go on.
func (n node) work(size int) bool {
	n.steps += 1 + size/64
	if n.steps > maxSteps {
		n.fail("what this template asks for takes more than %d steps (hint: %s)", maxSteps, deployed)
	}
	return n.err == nil
}

// value gives the node with its expression evaluated, if it is one.
func (n node) value() node {
	text, ok := n.v.(string)
	if !ok || n.scope == nil {
		return n
	}
	if literal, escaped := strings.CutPrefix(text, "[["); escaped {
		n.v, n.scope = "["+literal, nil
		return n
	}
	if !strings.HasPrefix(text, "[") || !strings.HasSuffix(text, "]") {
		n.scope = nil
		return n
	}
	return n.evaluate(text)
}

func (n node) absent() bool { return n.value().v == nil }

// child gives a field of an object. That of anything absent is absent, and that of anything else a problem.
func (n node) child(name string) node {
	n = n.value()
	path := n.path + "." + name
	if n.path == "" {
		path = name
	}
	out := node{reader: n.reader, file: n.file, path: path, scope: n.scope}
	switch v := n.v.(type) {
	case nil:
	case *object:
		out.v, _ = v.get(name)
	default:
		n.fail("an object is wanted, not %s", kindOf(v))
	}
	return out
}

// prop gives a field that Azure keeps under properties and some commands of az put beside the name.
func (n node) prop(name string) node {
	if inner := n.child("properties"); inner.v != nil {
		if p := inner.child(name); p.v != nil {
			return p
		}
	}
	return n.child(name)
}

// items gives the entries of a list; there are none in what is absent. Expressions can ask for one list any number of
// times, so that each time counts.
func (n node) items() []node {
	templated := n.scope != nil
	n = n.value()
	list, ok := n.v.([]any)
	if !ok && n.v != nil {
		n.fail("a list is wanted, not %s", kindOf(n.v))
	}
	if templated && !n.work(len(list)) {
		return nil
	}
	out := make([]node, len(list))
	for i, v := range list {
		out[i] = node{n.reader, n.file, n.path + "[" + strconv.Itoa(i) + "]", v, n.scope}
	}
	return out
}

// text gives a string; "" where it is absent.
func (n node) text() string {
	s := n.id()
	if open(s) {
		n.fail("%s hangs on the subscription or resource group, which a template does not say (hint: %s)", quoted(s), deployed)
	}
	return s
}

// id gives a resource ID, which may be open in where it will be; "" where it is absent.
func (n node) id() string {
	v := n.value()
	s, ok := v.v.(string)
	if !ok && v.v != nil {
		n.fail("a text is wanted, not %s", kindOf(v.v))
	}
	return s
}

// truth gives a boolean; nil where it is absent.
func (n node) truth() *bool {
	v := n.value()
	b, ok := v.v.(bool)
	if !ok {
		if v.v != nil {
			n.fail("true or false is wanted, not %s", kindOf(v.v))
		}
		return nil
	}
	return &b
}

// perhaps reads what only adds to a note: a problem with it is none of the import.
func (n node) perhaps() string {
	before := n.err
	s := n.text()
	if n.err != before {
		n.err, s = before, ""
	}
	return s
}

// kindOf names what a value is, with the value where that is short.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return quoted(v)
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return shown(v.String())
	case []any:
		return "a list"
	}
	return "an object"
}

// most is how much of a text from outside a message repeats.
const most = 200

func quoted(s string) string {
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// shown gives a text from outside as it may stand in a note.
func shown(s string) string {
	if len(s) > most {
		s = s[:most] + "…"
	}
	return names.Safe(s)
}
