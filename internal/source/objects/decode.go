package objects

import (
	"encoding/json"
	"reflect"
	"strings"

	kjson "sigs.k8s.io/json"
)

// decodeInto decodes JSON text into the struct that obj points to and gives everything that does
// not fit; what does fit is decoded all the same. Unknown and repeated fields are problems if
// strict. Names of fields are matched exactly, as servers do.
func decodeInto(data []byte, obj any, strict bool) []problem {
	if strict {
		if strictErrors, err := kjson.UnmarshalStrict(data, obj); err == nil && len(strictErrors) == 0 {
			return nil
		}
	} else if kjson.UnmarshalCaseSensitivePreserveInts(data, obj) == nil {
		return nil
	}
	tree, problems := decodeTree(data)
	c := checker{strict: strict}
	t := reflect.TypeOf(obj).Elem()
	fixed, _ := c.check("", tree, t)
	if !strict {
		problems = nil
	}
	problems = append(problems, c.problems...)
	reflect.ValueOf(obj).Elem().SetZero()
	text, err := json.Marshal(fixed)
	if err == nil {
		err = kjson.UnmarshalCaseSensitivePreserveInts(text, obj)
	}
	if err != nil {
		problems = append(problems, problem{text: "cannot be decoded: " + SafeText(err.Error())})
	}
	return problems
}

// decodeTree decodes JSON text into maps, lists, strings, bools, int64 and float64, and reports
// repeated fields.
func decodeTree(data []byte) (any, []problem) {
	var tree any
	strictErrors, err := kjson.UnmarshalStrict(data, &tree, kjson.DisallowDuplicateFields)
	if err != nil {
		return nil, []problem{{text: "cannot be decoded: " + SafeText(err.Error())}}
	}
	var problems []problem
	for _, e := range strictErrors {
		fe, ok := e.(kjson.FieldError)
		if !ok || !strings.HasPrefix(e.Error(), "duplicate field") {
			continue
		}
		problems = append(problems, problem{path: fe.FieldPath(), text: "field " + Safe(fe.FieldPath()) + " is given twice"})
	}
	return tree, problems
}

// anyUnder tells whether one of the problems lies at a path or inside it.
func anyUnder(problems []problem, path string) bool {
	for _, p := range problems {
		if under(p.path, path) {
			return true
		}
	}
	return false
}

// covered tells whether a path lies inside a place that already has a problem, so that a further
// word about it would be a consequence and not news.
func covered(problems []problem, path string) bool {
	for _, p := range problems {
		if p.path != "" && !p.harmless && under(path, p.path) {
			return true
		}
	}
	return false
}
