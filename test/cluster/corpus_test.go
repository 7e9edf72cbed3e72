package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/policytest"
)

// TestCorpusIsAnsweredAlike puts the scenarios of the corpus on the server, one after the other, and asks
// their questions of the cluster and of the same objects as files: the answers are the same.
func TestCorpusIsAnsweredAlike(t *testing.T) {
	admin, err := server.authority.kubeconfig("admin", server.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	asked, refused := 0, 0
	corpus := policytest.Corpus()
	err = fs.WalkDir(corpus, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		data, err := fs.ReadFile(corpus, path)
		if err != nil {
			return err
		}
		s, err := policytest.Parse(path, data)
		if err != nil {
			return err
		}
		t.Run(strings.TrimSuffix(path, ".txtar"), func(t *testing.T) {
			n, ok := askBoth(t, admin, s)
			asked += n
			if !ok {
				refused++
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d questions asked of both; %d scenarios are not for this server", asked, refused)
	if asked < 500 {
		t.Errorf("only %d questions were asked", asked)
	}
}

// askBoth gives the number of questions asked; ok is false where the server does not take the objects.
func askBoth(t *testing.T, kubeconfig string, s *policytest.Scenario) (asked int, ok bool) {
	objects, ok := manifests(s)
	if !ok {
		return 0, false
	}
	var made []object
	defer func() {
		for _, o := range slices.Backward(made) {
			if err := server.Delete(o); err != nil {
				t.Errorf("deleting: %v", err)
			}
		}
	}()
	for _, o := range objects {
		err := server.Create(o)
		var status *statusError
		if errors.As(err, &status) && status.code < 500 || errors.Is(err, errNoResource) {
			return 0, false
		}
		if err != nil {
			t.Fatal(err)
		}
		made = append(made, o)
	}
	file := filepath.Join(t.TempDir(), "all.json")
	if err := os.WriteFile(file, list(objects), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, q := range s.Asked {
		words := policytest.Words(q.Question)
		if words[0] != "check" {
			continue
		}
		if unlike(words) {
			continue
		}
		words = append(words, "-o", "json")
		live, liveStatus := answer(t, append(words, "--kubeconfig", kubeconfig)...)
		filed, filedStatus := answer(t, append(words, "-f", file)...)
		asked++
		if liveStatus != filedStatus || !reflect.DeepEqual(live, filed) {
			t.Errorf("%s\nfrom the cluster: %d %v\nfrom files:       %d %v", q.Question, liveStatus, live, filedStatus, filed)
		}
	}
	return asked, true
}

// unlike tells of a question that a server must answer in another way: it writes the name label of namespaces,
// which versions before 1.21 did not, and an object without a namespace is not of the one in -n.
func unlike(words []string) bool {
	i := slices.Index(words, "--kube-version")
	old := i >= 0 && slices.Contains([]string{"1.7", "1.10", "1.19", "1.20"}, words[i+1])
	return old || slices.Contains(words, "-n") || slices.Contains(words, "--namespace")
}

// manifests reads a scenario's objects, completed with what a server asks for and policies do not: images,
// selectors of workloads, and the namespaces that objects lie in. ok is false for input that is no object.
func manifests(s *policytest.Scenario) (out []object, ok bool) {
	var rest []object
	namespaces := map[string]bool{}
	for _, f := range s.Files {
		for _, doc := range strings.Split("\n"+f.Content, "\n---") {
			var o object
			if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
				return nil, false
			}
			switch {
			case len(o) == 0:
				continue
			case o.text("kind") == "" || strings.HasSuffix(o.text("kind"), "List") || o.text("apiVersion") == "sallyport.dev/v1alpha1":
				return nil, false
			case o.text("kind") == "Namespace":
				namespaces[o.text("metadata", "name")] = true
				out = append(out, o)
				continue
			}
			complete(o)
			rest = append(rest, o)
		}
	}
	for _, o := range rest {
		r := resources[o.text("apiVersion")+"/"+o.text("kind")]
		if n := o.namespace(); r.namespaced && !namespaces[n] && n != "default" && n != "kube-system" {
			namespaces[n] = true
			out = append(out, object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": n}})
		}
	}
	for _, n := range []string{"default", "kube-system"} { // the server's own, which it labels itself
		if namespaces[n] {
			return nil, false
		}
	}
	return append(out, rest...), true
}

// complete fills in what policies do not look at.
func complete(o object) {
	meta, _ := o["metadata"].(map[string]any)
	if refs, ok := meta["ownerReferences"].([]any); ok {
		for _, r := range refs {
			if ref, ok := r.(map[string]any); ok {
				ref["uid"] = "u"
			}
		}
	}
	spec, _ := o["spec"].(map[string]any)
	switch o.text("kind") {
	case "Pod":
		if spec == nil {
			spec = map[string]any{}
			o["spec"] = spec
		}
		completePod(spec)
	case "CronJob":
		if spec["schedule"] == nil && spec != nil {
			spec["schedule"] = "@daily"
		}
		if inner, ok := at(spec, "jobTemplate", "spec").(map[string]any); ok {
			completeTemplate(inner, "Never")
		}
	case "Job":
		completeTemplate(spec, "Never")
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet":
		completeTemplate(spec, "")
		if labels := at(spec, "template", "metadata", "labels"); labels != nil {
			spec["selector"] = map[string]any{"matchLabels": labels}
		}
		if o.text("kind") == "StatefulSet" {
			spec["serviceName"] = "s"
		}
	}
}

func at(v any, path ...string) any {
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func completeTemplate(spec map[string]any, restart string) {
	pod, ok := at(spec, "template", "spec").(map[string]any)
	if !ok {
		return
	}
	completePod(pod)
	if restart != "" {
		pod["restartPolicy"] = restart
	}
}

func completePod(spec map[string]any) {
	containers, _ := spec["containers"].([]any)
	if len(containers) == 0 {
		containers = []any{map[string]any{}}
	}
	spec["containers"] = containers
	more, _ := spec["initContainers"].([]any)
	for i, c := range append(slices.Clone(containers), more...) {
		if c, ok := c.(map[string]any); ok {
			c["image"] = "i"
			c["name"] = "c" + string(rune('a'+i))
		}
	}
}

func list(objects []object) []byte {
	data, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	if err != nil {
		panic(err) // they were read from YAML
	}
	return data
}

// run runs the program where no cluster is configured but by its arguments.
func run(args ...string) (stdout, stderr string, status int, err error) {
	return runIn(append(os.Environ(), "KUBECONFIG="+os.DevNull), program, args...)
}

func runIn(env []string, program string, args ...string) (stdout, stderr string, status int, err error) {
	var out, errs bytes.Buffer
	c := exec.Command(program, args...)
	c.Stdout, c.Stderr, c.Env = &out, &errs, env
	err = c.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = nil
	}
	return out.String(), errs.String(), c.ProcessState.ExitCode(), err
}

// answer gives an answer in JSON without places, notes and who enforces it, or the message of a refusal.
func answer(t *testing.T, args ...string) (any, int) {
	t.Helper()
	if !slices.Contains(args, "--kube-version") {
		args = append(args, "--kube-version", "1.35")
	}
	stdout, stderr, status, err := run(args...)
	if err != nil {
		t.Fatal(err)
	}
	if status == 1 {
		return stderr, status
	}
	var v any
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, stdout, stderr)
	}
	return bare(v), status
}

func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range []string{"place", "notes", "enforcement"} {
			delete(v, k)
		}
		if enforced, ok := v["ifEnforced"].(map[string]any); ok {
			delete(enforced, "text") // which has places in it
		}
		for k := range v {
			v[k] = bare(v[k])
		}
	case []any:
		for i := range v {
			v[i] = bare(v[i])
		}
	}
	return v
}
