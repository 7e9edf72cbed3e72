package objects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/cluster"
	"sallyport.dev/sallyport/internal/names"
)

// Prune gives an object's JSON with only the fields that the model reads, and whether anything of
// it is read at all. It is what may leave a cluster in a saved snapshot: no Secret, no environment,
// no arguments, no annotation but Sallyport's own, those by which pods ask Prometheus for something and those that name
// an Azure identity.
func Prune(data []byte) ([]byte, bool) {
	var head typeMeta
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &head); err != nil {
		return nil, false
	}
	group, version := splitAPIVersion(head.APIVersion)
	gk := groupKind{group, head.Kind}
	info, known := kinds[gk]
	switch {
	case !known || !info.accepts(version) || !info.policy && info.slim == nil:
		return nil, false
	case info.policy:
		p := readPolicy(gk.kind, data)
		return prunePolicy(gk, p)
	}
	obj, problems := readSlim(data, gk, head.APIVersion)
	if len(problems) > 0 || idle(obj) {
		return nil, false
	}
	return pruneSlim(obj)
}

func pruneSlim(obj slim) ([]byte, bool) {
	out, err := json.Marshal(obj)
	return out, err == nil
}

// prunePolicy keeps the whole spec, the fields that were not understood included, so that who reads
// the snapshot is told of them again (S32).
func prunePolicy(gk groupKind, p *policy) ([]byte, bool) {
	tree, _ := decodeTree(p.raw)
	m, ok := tree.(map[string]any)
	if !ok {
		return nil, false
	}
	delete(m, "status")
	m["apiVersion"], m["kind"] = joinAPIVersion(gk.group, kinds[gk].versions[0]), gk.kind
	m["metadata"] = p.names
	out, err := json.Marshal(m)
	return out, err == nil
}

// trim drops what takes space in the objects that there are many of and is not read.
func trim(obj slim) {
	asked, others := scrapeOnly(obj.names().Annotations), keptAnnotations(obj)
	for name := range obj.names().Annotations {
		if !strings.HasPrefix(name, groupOwn+"/") && !slices.Contains(others, name) {
			delete(obj.names().Annotations, name)
		}
	}
	switch o := obj.(type) {
	case *podObject:
		if o.Metadata.trim(); asked != nil {
			maps.Copy(o.Metadata.Annotations, asked)
		}
		o.Spec.trim()
	case *workloadObject:
		o.Metadata.trim()
		o.Metadata.Labels = nil
		if t, _, _ := templateOf(o); t != nil {
			t.Metadata.Annotations = scrapeOnly(t.Metadata.Annotations)
			t.Spec.trim()
		}
	case *bindingObject:
		o.trim()
	case *azureObject:
		o.trim()
	}
}

func (m *ownedMeta) trim() {
	if ref := controllerOf(m); ref != nil {
		m.OwnerReferences = []ownerRef{*ref}
		return
	}
	m.OwnerReferences = nil
}

func (s *podSpec) trim() {
	if system, ok := s.NodeSelector[osLabel]; ok {
		s.NodeSelector = map[string]string{osLabel: system}
	} else {
		s.NodeSelector = nil
	}
	s.trimProbes()
	s.Volumes = s.entraVolumes()
	for _, list := range []*[]container{&s.Containers, &s.InitContainers} {
		var kept []container
		for _, c := range *list {
			if len(c.Ports) > 0 || c.isProbed() {
				kept = append(kept, c)
			}
		}
		*list = kept
	}
}

// Pruned gives the objects of which the Snapshot was built, each as Prune does, sorted by
// namespace, kind and name. It is empty before Build.
func (b *Builder) Pruned() [][]byte {
	var out [][]byte
	for _, it := range b.kept {
		data, ok := []byte(nil), false
		switch {
		case it.policy != nil:
			data, ok = prunePolicy(it.key.groupKind, it.policy)
		case len(it.problems) == 0:
			data, ok = pruneSlim(it.slim)
		}
		if ok {
			out = append(out, data)
		}
	}
	return out
}

// WriteSnapshot writes a snapshot that can be read again as a file, as YAML: a header with what the
// objects cannot say, then the objects. The Snapshot is the one that Build gave.
func (b *Builder) WriteSnapshot(w io.Writer, s *cluster.Snapshot) error {
	docs := append([][]byte{b.headerOf(s)}, b.Pruned()...)
	for _, doc := range docs {
		text, err := document(doc)
		if err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
		if _, err := fmt.Fprintf(w, "---\n%s", text); err != nil {
			return err
		}
	}
	return nil
}

// document gives an object as YAML; as JSON, which is YAML too, where it holds characters that YAML
// would write raw.
func document(doc []byte) ([]byte, error) {
	if safe := names.SafeJSON(string(doc)); safe != string(doc) || bytes.ContainsRune(doc, '\\') {
		return []byte(safe + "\n"), nil
	}
	return yaml.JSONToYAML(doc)
}
