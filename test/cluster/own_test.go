package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"sallyport.dev/sallyport/internal/source/objects/owncases"
)

// definitions installs the CRDs of deploy/crds, once, and waits until each is served. They stay.
var definitions = sync.OnceValue(func() error {
	files, err := filepath.Glob("../../deploy/crds/*.yaml")
	if err != nil || len(files) != 4 {
		return fmt.Errorf("%d files in deploy/crds, %w", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var o object
		if err := yaml.UnmarshalStrict(data, &o); err != nil {
			return err
		}
		if err := server.Create(o); err != nil { // refuses rules of validation that may cost too much
			return err
		}
		if err := established(o); err != nil {
			return err
		}
	}
	return nil
})

// established waits until a CRD's kind is served.
func established(o object) error {
	_, path, err := o.path(true)
	if err != nil {
		return err
	}
	var conditions map[string]string
	for range 300 {
		data, err := server.request(http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		var crd struct {
			Status struct {
				Conditions []struct{ Type, Status, Message string }
			}
		}
		if err := json.Unmarshal(data, &crd); err != nil {
			return err
		}
		conditions = map[string]string{}
		for _, c := range crd.Status.Conditions {
			conditions[c.Type] = c.Status + " " + c.Message
		}
		if strings.HasPrefix(conditions["Established"], "True") && served(o) {
			if why, bad := conditions["NonStructuralSchema"]; bad {
				return fmt.Errorf("%s: %s", path, why)
			}
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return fmt.Errorf("%s is not established: %v", path, conditions)
}

func served(o object) bool {
	_, err := server.request(http.MethodGet, "/apis/sallyport.dev/v1alpha1/"+o.text("spec", "names", "plural"), nil)
	return err == nil
}

// post sends a document as it is, and gives what the server made of it; ok is false where it refuses it.
func post(t *testing.T, document, query string) (got object, refusal string) {
	t.Helper()
	_, path, err := fromYAML(t, document).path(false)
	if err != nil {
		t.Fatal(err)
	}
	data, err := server.send(http.MethodPost, path+"?fieldValidation=Strict"+query, []byte(document), http.Header{"Content-Type": {"application/yaml"}})
	var status *statusError
	if errors.As(err, &status) && (status.code == http.StatusBadRequest || status.code == http.StatusUnprocessableEntity) {
		return nil, status.text
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	return got, ""
}

// read reads a document from a file and gives what the program has against it.
func read(t *testing.T, document string) (refusal string) {
	t.Helper()
	_, stderr, status, err := run("snapshot", "-f", fromFile(t, document))
	if err != nil || status != 0 && status != 1 || status == 1 && stderr == "" {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	if status == 0 {
		return ""
	}
	return stderr
}

// TestOwnKinds: an API server with the CRDs and the reader of files agree on each object, and what the server
// fills in is what the reader's own test takes for the same.
func TestOwnKinds(t *testing.T) {
	if err := definitions(); err != nil {
		t.Fatal(err)
	}
	good, bad := 0, 0
	for _, c := range owncases.All() {
		t.Run(c.String(), func(t *testing.T) {
			document := c.Document("case")
			stored, refusal := post(t, document, "&dryRun=All")
			program := read(t, document)
			wanted := c.Want == ""
			if (program == "") != wanted {
				t.Errorf("the program: %q", program)
			}
			if (refusal == "") != (wanted == (c.Differs == "")) {
				t.Errorf("the server: %q; the program: %q; %q", refusal, program, c.Differs)
			}
			if wanted {
				good++
			} else {
				bad++
			}
			if wanted && refusal == "" && c.Object == "" {
				spec := c.Spec
				if c.Stored != "" {
					spec = c.Stored
				}
				want := fromYAML(t, "spec: "+spec)["spec"]
				if !reflect.DeepEqual(want, stored["spec"]) {
					t.Errorf("the server stores %v", stored["spec"])
				}
			}
		})
	}
	t.Logf("%d good objects, %d bad ones", good, bad)
}

// TestFieldGivenTwice: neither takes the last one, or the first.
func TestFieldGivenTwice(t *testing.T) {
	if err := definitions(); err != nil {
		t.Fatal(err)
	}
	const document = "apiVersion: sallyport.dev/v1alpha1\nkind: WorkloadIdentity\nmetadata: {name: w}\nspec: {serviceAccountName: web, serviceAccountName: api}\n"
	if _, refusal := post(t, document, "&dryRun=All"); !strings.Contains(refusal, "already set") {
		t.Errorf("the server: %q", refusal)
	}
	if refusal := read(t, document); !strings.Contains(refusal, "serviceAccountName") {
		t.Errorf("the program: %q", refusal)
	}
}

// TestResourcesPage: a server takes the examples of docs/resources.md, which the program reads.
func TestResourcesPage(t *testing.T) {
	if err := definitions(); err != nil {
		t.Fatal(err)
	}
	if err := server.ensureNamespace("shop"); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/resources.md")
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, block := range strings.Split(string(page), "```yaml\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		for document := range strings.SplitSeq(block, "---\n") {
			if _, refusal := post(t, document, "&dryRun=All"); refusal != "" {
				t.Error(refusal)
			}
			taken++
		}
	}
	if taken < 5 {
		t.Errorf("only %d objects", taken)
	}
}
