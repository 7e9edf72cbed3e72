package report

import (
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"sallyport.dev/sallyport/api/v1alpha1"
	"sallyport.dev/sallyport/internal/azure"
	"sallyport.dev/sallyport/internal/names"
)

// Imported is a service outside of which facts were imported.
type Imported struct {
	By        string   // the command
	Files     []string // that the facts are from
	Namespace string   // empty: for all namespaces
	Name      string
	Spec      v1alpha1.ExternalServiceSpec
	Notes     []azure.Note
}

// commentWidth is where lines of comments are broken.
const commentWidth = 110

// ExternalServices prints services as YAML that every verb reads, each under a comment that says where it is from and
// what it leaves open.
func ExternalServices(w io.Writer, list []Imported) error {
	var out strings.Builder // nothing is printed where it fails halfway
	for i := range list {
		if i > 0 {
			out.WriteString("---\n")
		}
		if err := list[i].write(&out); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (s *Imported) write(out *strings.Builder) error {
	comment(out, "", fmt.Sprintf("Made by %s from %s.", s.By, strings.Join(s.Files, ", ")))
	comment(out, "", "These are facts of the moment at which the files were written: after a change, import again.")
	for _, n := range s.Notes {
		comment(out, "- ", n.Text)
		if n.Command != "" {
			out.WriteString("#     " + names.Safe(n.Command) + "\n") // whole, to be copied
		}
	}
	obj := v1alpha1.ExternalService{
		TypeMeta:   metav1.TypeMeta{APIVersion: "sallyport.dev/v1alpha1", Kind: "ExternalService"},
		ObjectMeta: metav1.ObjectMeta{Name: s.Name, Namespace: s.Namespace},
		Spec:       s.Spec,
	}
	if s.Namespace == "" {
		obj.Kind = "ClusterExternalService" // which has the same fields
	}
	text, err := yaml.Marshal(plain(&obj))
	if err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	out.Write(text)
	return nil
}

// comment writes a text as lines of a comment; those after the first stand under it.
func comment(out *strings.Builder, mark, text string) {
	for _, line := range wrap(names.Safe(text), commentWidth) {
		out.WriteString("# " + mark + line + "\n")
		mark = strings.Repeat(" ", len(mark))
	}
}
