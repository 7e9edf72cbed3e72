package manifest

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/objects"
)

var userPrefix = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9-]*@`)

// isRemote tells whether kustomize could take a name for something to fetch. It must be true
// wherever kustomize might; that it is true for some odd local names as well does no harm.
func isRemote(name string) bool {
	if u, err := url.Parse(name); err == nil && (u.Scheme == "http" || u.Scheme == "https") {
		return true
	}
	lower := strings.ToLower(name)
	return strings.Contains(name, "://") || strings.HasPrefix(lower, "git::") || userPrefix.MatchString(name) ||
		strings.HasPrefix(lower, "github.com/") || strings.HasPrefix(lower, "github.com:")
}

// remoteGuard looks through a kustomization and everything local that it builds on for what
// kustomize would fetch from the network, and for what it would run.
type remoteGuard struct {
	seen  map[string]bool
	found objects.InputErrors
}

func (g *remoteGuard) refuse(file string, n *yaml.Node, problem, hint string) {
	g.found = append(g.found, &objects.InputError{Origin: cluster.Origin{File: file, Line: n.Line}, Problem: problem, Hint: hint})
}

// directory checks a kustomization. In plugins, it holds the settings of generators, transformers
// or validators, which may name files in fields of their own.
func (g *remoteGuard) directory(dir string, plugins bool) {
	path := kustomizationIn(dir)
	if path == "" {
		return // kustomize will say so
	}
	g.file(path, true, plugins)
}

// file checks a kustomization, or a file with settings of plugins.
func (g *remoteGuard) file(path string, kustomization, plugins bool) {
	id := fmt.Sprint(path, plugins)
	if full, err := filepath.EvalSymlinks(path); err == nil {
		id = fmt.Sprint(full, plugins)
	}
	if g.seen[id] {
		return
	}
	g.seen[id] = true
	data, err := os.ReadFile(path)
	if err != nil {
		return // kustomize will say so
	}
	w := &remoteWalk{g: g, path: path, kustomization: kustomization, plugins: plugins, active: map[*yaml.Node]bool{}}
	before := len(g.found)
	w.text(data)
	if asJSON, err := sigsyaml.YAMLToJSON(data); err == nil && kustomization && len(g.found) == before {
		w.text(asJSON) // once more, as kustomize's own parser reads it
	}
}

// remoteWalk is the check of one file.
type remoteWalk struct {
	g                      *remoteGuard
	path                   string
	kustomization, plugins bool
	active                 map[*yaml.Node]bool
	visits                 int
}

// text checks every YAML document of a text.
func (w *remoteWalk) text(data []byte) {
	dec := yaml.NewDecoder(strings.NewReader(string(data)))
	for {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case errors.Is(err, io.EOF):
			return
		case err != nil: // never pass on what was not looked through
			w.g.refuse(w.path, &yaml.Node{}, "this is not YAML: "+objects.SafeText(strings.TrimPrefix(err.Error(), "yaml: ")), "")
			return
		}
		w.walk(&n, "")
	}
}

// fileFields are the fields in which kustomize and its plugins name files, in lower case because
// they are matched that way.
var fileFields = map[string]bool{
	"resources": true, "bases": true, "components": true, "crds": true, "configurations": true, "generators": true,
	"transformers": true, "validators": true, "patchesstrategicmerge": true, "path": true, "paths": true, "files": true,
	"envs": true, "env": true, "valuesfile": true, "additionalvaluesfiles": true, "targetfilepath": true, "argsfromfile": true,
}

// walk checks a node that lies below a field of fileFields, or below none.
func (w *remoteWalk) walk(n *yaml.Node, field string) {
	if w.visits++; w.visits > maxAliased || w.active[n] {
		w.g.refuse(w.path, n, "the aliases of this kustomization stand for too many values", "")
		return
	}
	w.active[n] = true
	defer delete(w.active, n)
	switch n.Kind {
	case yaml.AliasNode:
		w.walk(n.Alias, field)
	case yaml.ScalarNode:
		if field != "" {
			w.value(n, field)
		}
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := strings.ToLower(n.Content[i].Value)
			if strings.HasPrefix(key, "helmchart") && w.kustomization {
				w.g.refuse(w.path, n.Content[i], "this kustomization needs Helm, which is not run",
					"render it first: kustomize build --enable-helm … | sallyport … -f -")
			}
			below := field
			if fileFields[key] {
				below = key
			}
			w.walk(n.Content[i+1], below)
		}
	default:
		for _, c := range n.Content {
			w.walk(c, field)
		}
	}
}

// value checks one name of a file, and what it leads to.
func (w *remoteWalk) value(n *yaml.Node, field string) {
	isPlugin := field == "generators" || field == "transformers" || field == "validators"
	if strings.Contains(n.Value, "\n") { // written in place
		if isPlugin {
			sub := &remoteWalk{g: w.g, path: w.path, plugins: true, active: map[*yaml.Node]bool{}}
			sub.text([]byte(n.Value))
		}
		return
	}
	name := n.Value
	if _, after, ok := strings.Cut(name, "="); ok && field == "files" {
		name = after
	}
	if isRemote(name) || isRemote(n.Value) {
		w.g.refuse(w.path, n, objects.Safe(n.Value)+" is remote, and nothing is ever fetched",
			"vendor it, or build elsewhere: kustomize build … | sallyport … -f -")
		return
	}
	if !w.kustomization {
		return
	}
	target := filepath.Join(filepath.Dir(w.path), name)
	info, err := os.Stat(target)
	plugins := w.plugins || isPlugin
	switch {
	case err != nil:
	case info.IsDir() && (isPlugin || field == "resources" || field == "bases" || field == "components"):
		w.g.directory(target, plugins)
	case plugins && (isPlugin || field == "resources"):
		w.g.file(target, false, true)
	}
}
