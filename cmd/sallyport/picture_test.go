package main

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"strings"
	"testing"
)

// TestPicture asks every line that the README's picture draws.
func TestPicture(t *testing.T) {
	t.Chdir("../..")
	f, err := os.Open("docs/shop.svg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	asked := 0
	for d := xml.NewDecoder(f); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := map[string]string{}
		for _, a := range e.Attr {
			attr[a.Name.Local] = a.Value
		}
		if attr["data-check"] == "" {
			continue
		}
		asked++
		var stdout, stderr bytes.Buffer
		run(append([]string{"check", "-f", "examples/shop"}, strings.Fields(attr["data-check"])...), nil, &stdout, &stderr)
		if got, _, _ := strings.Cut(stdout.String(), " "); got != attr["data-verdict"] {
			t.Errorf("the picture draws %s as %s, and the program says %q %s", attr["data-check"], attr["data-verdict"], got, stderr.String())
		}
	}
	if asked < 10 {
		t.Errorf("the picture has only %d lines", asked)
	}
}
