package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
)

var yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```\n")

// TestResourcesPage: each example of docs/resources.md is read without a word, and there is one of each kind.
func TestResourcesPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/resources.md")
	if err != nil {
		t.Fatal(err)
	}
	var saved strings.Builder
	for _, block := range yamlBlock.FindAllStringSubmatch(string(page), -1) {
		var stdout, stderr bytes.Buffer
		if status := run([]string{"snapshot", "-f", "-"}, strings.NewReader(block[1]), &stdout, &stderr); status != 0 || stderr.Len() > 0 {
			t.Errorf("status %d: %s\n%s", status, stderr.String(), block[1])
		}
		saved.WriteString(stdout.String())
	}
	for _, kind := range []string{"WorkloadIdentity", "AccessPolicy", "ExternalService", "ClusterExternalService"} {
		if !strings.Contains(saved.String(), "\nkind: "+kind+"\n") {
			t.Errorf("no %s", kind)
		}
	}
}
