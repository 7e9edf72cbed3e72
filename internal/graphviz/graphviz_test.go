package graphviz

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
)

func TestSVG(t *testing.T) {
	svg, err := SVG(`digraph { a -> b [label="x &amp; \"y\""] }`)
	if err != nil || !strings.Contains(svg, "x &amp; &quot;y&quot;</text>") {
		t.Errorf("%q %v", svg, err)
	}
	for _, bad := range []string{"digraph { a -> ", "", "no graph"} {
		if svg, err := SVG(bad); err == nil {
			t.Errorf("%q gives %q", bad, svg)
		}
	}
}

// TestNoFiles asks for a picture in a file: Graphviz must not see it.
func TestNoFiles(t *testing.T) {
	svg, err := SVG(`digraph { a [label="", image="/etc/hosts", shape=none]; b [shapefile="/etc/hosts"] }`)
	if err != nil || strings.Contains(svg, "<image") {
		t.Errorf("%q %v", svg, err)
	}
}

// TestProgram is the proof of where the program comes from: the sum is that of internal/wasm/graphviz.wasm
// in the module github.com/goccy/go-graphviz v0.2.10.
func TestProgram(t *testing.T) {
	const want = "7cc5b0a5f176aeaa69760ed5dc3282ceda2b1b04229b22de77bb0a5eab45578e"
	if sum := sha256.Sum256(program); hex.EncodeToString(sum[:]) != want {
		t.Errorf("graphviz.wasm is another: %x", sum)
	}
}
