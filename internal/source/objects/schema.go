package objects

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"sallyport.dev/sallyport/internal/names"
)

// checker compares a decoded JSON tree with a Go type. The decoder itself stops at the first wrong
// type and says it in Go's words; people need every problem with its path, and a policy from a
// server must be read as far as it can be (S32).
type checker struct {
	strict   bool // unknown fields are problems
	problems []problem
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// check gives the tree without the parts that do not fit t, and whether v itself fits. Items of a
// list are never removed but become null, so that indices stay what they were.
func (c *checker) check(path string, v any, t reflect.Type) (any, bool) {
	if v == nil {
		return nil, true
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return v, c.checkOwn(path, v, t)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return c.check(path, v, t.Elem())
	case reflect.Struct:
		return c.checkStruct(path, v, t)
	case reflect.Map:
		return c.checkMap(path, v, t)
	case reflect.Slice:
		return c.checkSlice(path, v, t)
	case reflect.Interface:
		return v, true
	}
	return v, c.checkScalar(path, v, t)
}

func (c *checker) checkOwn(path string, v any, t reflect.Type) bool {
	data, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(data, reflect.New(t).Interface())
	}
	if err == nil {
		return true
	}
	wanted := "a " + strings.ToLower(t.Name())
	if t.Name() == "IntOrString" {
		wanted = "a number or a name"
	}
	return c.wrongType(path, v, wanted)
}

func (c *checker) checkStruct(path string, v any, t reflect.Type) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, c.wrongType(path, v, "a map")
	}
	fields := fieldsOf(t)
	out := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		p := joinPath(path, key)
		ft, known := fields[key]
		if !known {
			if c.strict {
				c.unknown(p, key, fields)
			}
			continue
		}
		if fixed, fits := c.check(p, m[key], ft); fits {
			out[key] = fixed
		}
	}
	return out, true
}

func (c *checker) checkMap(path string, v any, t reflect.Type) (any, bool) {
	m, ok := v.(map[string]any)
	if !ok {
		return nil, c.wrongType(path, v, "a map")
	}
	out := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if fixed, fits := c.check(joinPath(path, key), m[key], t.Elem()); fits {
			out[key] = fixed
		}
	}
	return out, true
}

func (c *checker) checkSlice(path string, v any, t reflect.Type) (any, bool) {
	list, ok := v.([]any)
	if !ok {
		return nil, c.wrongType(path, v, "a list")
	}
	out := make([]any, len(list))
	for i := range list {
		if fixed, fits := c.check(indexPath(path, i), list[i], t.Elem()); fits {
			out[i] = fixed
		}
	}
	return out, true
}

func (c *checker) checkScalar(path string, v any, t reflect.Type) bool {
	switch t.Kind() {
	case reflect.String:
		if _, ok := v.(string); !ok {
			return c.wrongType(path, v, "a string")
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			return c.wrongType(path, v, "true or false")
		}
	case reflect.Int32, reflect.Int64, reflect.Int:
		n, ok := v.(int64)
		if !ok || t.Kind() == reflect.Int32 && (n < math.MinInt32 || n > math.MaxInt32) {
			return c.wrongType(path, v, "a whole number")
		}
	}
	return true
}

func (c *checker) wrongType(path string, v any, wanted string) bool {
	p := problem{path: path, text: fmt.Sprintf("%s needs %s, not %s", pathOrObject(path), wanted, describe(v))}
	switch v.(type) {
	case int64, float64, bool:
		if wanted == "a string" {
			p.hint = "put it in quotes"
		}
	case map[string]any:
		if wanted == "a list" {
			p.hint = "begin each item with a dash"
		}
	}
	c.problems = append(c.problems, p)
	return false
}

func (c *checker) unknown(path, key string, fields map[string]reflect.Type) {
	p := problem{path: path, text: "unknown field " + path}
	if near := nearest(key, slices.Sorted(maps.Keys(fields))); near != "" {
		p.hint = "did you mean " + near + "?"
	}
	c.problems = append(c.problems, p)
}

func describe(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	case string:
		return "the string " + quoteShort(v)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprintf("the number %v", v)
}

// quoteShort quotes a string of the input for a message, cut at a length people can read.
func quoteShort(s string) string {
	if len(s) > 80 {
		return strconv.QuoteToASCII(s[:80]) + "…"
	}
	return strconv.QuoteToASCII(s)
}

var fieldCache sync.Map // reflect.Type → map[string]reflect.Type

// fieldsOf gives the JSON fields of a struct, those of embedded structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if m, ok := fieldCache.Load(t); ok {
		return m.(map[string]reflect.Type)
	}
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			maps.Copy(out, fieldsOf(f.Type))
		case name != "" && name != "-":
			out[name] = f.Type
		}
	}
	fieldCache.Store(t, out)
	return out
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,63}$`)

// joinPath appends a field to a path; a key that is no plain word is quoted, because it may be hostile.
func joinPath(path, key string) string {
	if !plainKey.MatchString(key) {
		return path + "[" + quoteShort(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func indexPath(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func pathOrObject(path string) string {
	if path == "" {
		return "the object"
	}
	return path
}

// under tells whether path is p or lies inside it.
func under(path, p string) bool {
	rest, ok := strings.CutPrefix(path, p)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// nearest finds the word that was probably meant, or "".
func nearest(word string, words []string) string {
	best, bestDistance := "", 1+min(2, len(word)/3)
	for _, w := range words {
		if strings.EqualFold(w, word) {
			return w
		}
		if d := names.Distance(strings.ToLower(word), strings.ToLower(w), bestDistance); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	return best
}
