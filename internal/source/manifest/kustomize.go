package manifest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/source/objects"
)

// originAnnotation is where kustomize writes which file an object came from.
const originAnnotation = "config.kubernetes.io/origin"

// kustomize reads one argument of -k.
func (r *reader) kustomize(dir string) {
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		hint := ""
		if isRemote(dir) {
			hint = "nothing is ever fetched; clone it first"
		}
		r.missing(dir, "not a directory", hint)
		return
	}
	top := kustomizationIn(dir)
	if top == "" {
		r.missing(dir, "no kustomization.yaml in this directory", "use -f to read its files as they are")
		return
	}
	guard := &remoteGuard{seen: map[string]bool{}}
	guard.directory(dir, false)
	if len(guard.found) > 0 {
		for _, e := range guard.found {
			r.fail(e.Origin, e.Problem, e.Hint)
		}
		return
	}
	m, err := build(dir, top)
	if err != nil {
		r.fail(cluster.Origin{File: top}, "kustomize: "+objects.SafeText(err.Error()), "")
		return
	}
	k := &kustomized{dir: dir, top: top, sources: map[string][]source{}}
	for _, res := range m.Resources() {
		doc, err := k.doc(res)
		if err != nil {
			r.fail(cluster.Origin{File: top}, "kustomize: "+objects.SafeText(err.Error()), "")
			continue
		}
		doc.Layer = r.layerOf(false)
		r.b.Add(doc)
	}
}

// build runs kustomize with everything off that could reach beyond the directory: files outside
// the root, plugins, Helm. What remains is remote bases, which remoteGuard has excluded.
func build(dir, top string) (resmap.ResMap, error) {
	abs, err := filepath.Abs(dir) // a relative path could look like a remote one to kustomize
	if err != nil {
		return nil, err
	}
	fs := originFS{FileSystem: filesys.MakeFsOnDisk(), top: filepath.Base(top), dir: abs}
	if real, err := filepath.EvalSymlinks(abs); err == nil {
		fs.dir = real
	}
	return krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, abs)
}

// originFS is the disk, except that the top kustomization asks for origin annotations.
type originFS struct {
	filesys.FileSystem
	dir, top string
}

// ReadFile implements filesys.FileSystem.
func (f originFS) ReadFile(path string) ([]byte, error) {
	data, err := f.FileSystem.ReadFile(path)
	if err != nil || path != filepath.Join(f.dir, f.top) {
		return data, err
	}
	var k yaml.Node
	if yaml.Unmarshal(data, &k) != nil || len(k.Content) == 0 || k.Content[0].Kind != yaml.MappingNode {
		return data, nil // kustomize says what is wrong with it
	}
	option := &yaml.Node{Kind: yaml.ScalarNode, Value: "originAnnotations"}
	if list := child(k.Content[0], "buildMetadata"); list != nil {
		list.Content = append(list.Content, option)
	} else {
		k.Content[0].Content = append(k.Content[0].Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "buildMetadata"},
			&yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{option}})
	}
	return yaml.Marshal(&k)
}

// kustomized turns kustomize's output into documents with their places.
type kustomized struct {
	dir, top string
	sources  map[string][]source
}

// source is an object as it is written in a file.
type source struct {
	kind  string
	name  string
	line  int
	lines func() map[string]int
	spec  string

	ignores []objects.IgnoreComment
}

func (k *kustomized) doc(res *resource.Resource) (objects.Doc, error) {
	origin := cluster.Origin{File: k.top}
	if o, err := res.GetOrigin(); err == nil && o != nil && o.Path != "" {
		origin.File = filepath.Join(k.dir, o.Path)
	}
	annotations := res.GetAnnotations()
	delete(annotations, originAnnotation)
	if err := res.SetAnnotations(annotations); err != nil {
		return objects.Doc{}, err
	}
	data, err := res.MarshalJSON()
	if err != nil {
		return objects.Doc{}, err
	}
	d := objects.Doc{JSON: data, Origin: origin}
	if s := match(k.in(origin.File), res.GetKind(), res.GetName()); s != nil {
		d.Origin.Line = s.line
		if s.spec != "" && s.spec == specOf(data) { // lines inside it are those of the file only if it was not patched
			d.Lines = s.lines
			d.Ignores = s.ignores
		}
	}
	return d, nil
}

// match finds the object of a file that became one with the given name, to which kustomize may have
// added a prefix and a suffix; nil if that cannot be told for sure.
func match(list []source, kind, name string) *source {
	var found *source
	for i := range list {
		s := &list[i]
		switch {
		case s.kind != kind || s.name == "" || !strings.Contains(name, s.name):
		case s.name == name:
			return s
		case found == nil || len(s.name) > len(found.name):
			found = s
		case len(s.name) == len(found.name):
			return nil
		}
	}
	return found
}

// in finds the objects of a file with their lines.
func (k *kustomized) in(path string) []source {
	if list, ok := k.sources[path]; ok {
		return list
	}
	var list []source
	if in, err := os.Open(path); err == nil { // else a generated object; its place stays the file's name
		defer in.Close()
		f := &file{name: path, failed: func(cluster.Origin, string, string) {}}
		f.found = func(d objects.Doc, _, kind string) {
			s := source{kind: kind, name: nameOf(d.JSON), line: d.Origin.Line, spec: specOf(d.JSON), ignores: d.Ignores}
			if d.Lines != nil && placed(kind) {
				all := d.Lines()
				s.lines = func() map[string]int { return all }
			}
			list = append(list, s)
		}
		f.read(in, strings.EqualFold(filepath.Ext(path), ".json"))
	}
	k.sources[path] = list
	return list
}

var resources = objects.Resources()

// placed tells whether answers name parts of the objects of a kind.
func placed(kind string) bool {
	return slices.ContainsFunc(resources, func(x objects.Resource) bool { return x.Kind == kind && (x.Policy || x.Layer || x.Foreign) })
}

// specOf gives an object's spec in a form that can be compared, or "".
func specOf(data []byte) string {
	var o struct {
		Spec any `json:"spec"`
	}
	if json.Unmarshal(data, &o) != nil || reflect.ValueOf(o.Spec).Kind() != reflect.Map {
		return ""
	}
	text, _ := json.Marshal(o.Spec)
	return string(text)
}

func nameOf(data []byte) string {
	var o struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	}
	_ = json.Unmarshal(data, &o) // an object that cannot be read has no name to be found by
	return o.Metadata.Name
}
