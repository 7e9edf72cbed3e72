package platform

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func readAKS(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "aks", file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseAKS(t *testing.T) {
	const made = "an engine was once chosen at creation only"
	for _, c := range []struct {
		file, name, version, plugin, podCIDRs string
		notes                                 []string // in order, each found somewhere in its note
	}{
		{"none-overlay", "dev", "1.32", "none", "10.244.0.0/16", []string{
			"AKS dev: networkPolicy is none: AKS runs no policy engine here", "Cilium (az aks update --network-dataplane cilium)", "azure in mode overlay"}},
		{"none-kubenet", "old", "1.29", "none", "10.244.0.0/16", []string{"networkPolicy is none", "Cilium not before the cluster has moved from kubenet", "networkPlugin is kubenet"}},
		{"none-windows", "win", "1.32", "none", "", []string{"networkPolicy is none", "Cilium not while there are Windows pools", "networkPlugin is azure", "no pod range is known", "run Windows: npwin"}},
		{"azure-node-subnet", "legacy", "1.32", "azure-npm", "", []string{"whose support ends", "networkPlugin is azure", "no pod range is known"}},
		{"calico-dual-stack", "prod", "1.31", "calico", "10.244.0.0/16 fd12:3456:789a::/64", []string{"overlay"}},
		{"cilium-overlay", "edge", "1.32", "cilium", "10.244.0.0/16", []string{"overlay"}},
		{"none-but-cilium-dataplane", "odd", "1.32", "", "10.244.0.0/16", []string{"whether Cilium enforces policies here is not certain", "overlay"}},
		{"bring-your-own", "byo", "1.32", "", "", []string{"networkPlugin is none: the cluster was made for a plugin of the owner's choice"}},
		{"identity-without-issuer", "ident", "1.32", "none", "10.244.0.0/16", []string{"networkPolicy is none", made, "overlay", "the OIDC issuer that it needs is off"}},
		{"arm-properties", "arm", "1.32", "calico", "10.244.0.0/16", []string{"networkPlugin is kubenet"}},
	} {
		a, err := ParseAKS(readAKS(t, c.file))
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		cidrs := strings.Trim(fmt.Sprint(a.PodCIDRs), "[]")
		if a.Name != c.name || a.Version.String() != c.version || a.Plugin.Name != c.plugin || cidrs != c.podCIDRs {
			t.Errorf("%s: got %q, %q, %q, %q", c.file, a.Name, a.Version, a.Plugin.Name, cidrs)
		}
		if len(a.Notes) != len(c.notes) {
			t.Errorf("%s: %d notes, want %d:\n%s", c.file, len(a.Notes), len(c.notes), strings.Join(a.Notes, "\n"))
			continue
		}
		for i, n := range c.notes {
			if !strings.Contains(a.Notes[i], n) {
				t.Errorf("%s: note %d is %q, want %q", c.file, i, a.Notes[i], n)
			}
		}
		if none := a.Plugin.Name == "none"; none != slices.ContainsFunc(a.Notes, func(n string) bool { return strings.Contains(n, made) }) && c.plugin != "azure-npm" {
			t.Errorf("%s: whether the engine can be changed in place belongs to networkPolicy none: %q", c.file, a.Notes)
		}
	}
}

// TestAgentPools: az and templates spell their subnets in two ways.
func TestAgentPools(t *testing.T) {
	const pools = `{"networkProfile": {}, "agentPoolProfiles": [{"name": "a", "%s": "/n", "%s": "/p"}, {"name": "b", "%[1]s": null}]}`
	want := []AgentPool{{Name: "a", NodeSubnet: "/n", PodSubnet: "/p"}, {Name: "b"}}
	for _, text := range []string{
		fmt.Sprintf(pools, "vnetSubnetId", "podSubnetId"),
		`{"name": "x", "properties": ` + fmt.Sprintf(pools, "vnetSubnetID", "podSubnetID") + `}`,
	} {
		a, err := ParseAKS([]byte(text))
		if err != nil || !slices.Equal(a.Pools, want) {
			t.Errorf("%s: %v, %+v", text, err, a)
		}
	}
}

// TestParseAKSAsWritten: what shells do to the file on its way to disk.
func TestParseAKSAsWritten(t *testing.T) {
	data := readAKS(t, "cilium-overlay")
	if a, err := ParseAKS(append([]byte("\xef\xbb\xbf"), data...)); err != nil || a.Plugin.Name != "cilium" {
		t.Errorf("with a byte order mark: %v, %v", a, err)
	}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff"} {
		if _, err := ParseAKS([]byte(mark + "{\x00}\x00")); err == nil || !strings.Contains(err.Error(), "UTF-16") {
			t.Errorf("UTF-16: %v", err)
		}
	}
}

func TestParseAKSErrors(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct{ name, data, want string }{
		{"empty", "", "not the JSON of az aks show"},
		{"not JSON", "ERROR: (ResourceNotFound)", "not the JSON of az aks show"},
		{"cut off", `{"name":"dev","networkProfile":{`, "not the JSON of az aks show"},
		{"a number", "7", "not the JSON of az aks show"},
		{"null", "null", "no networkProfile in it"},
		{"another resource", `{"name":"vm","hardwareProfile":{}}`, "no networkProfile in it"},
		{"null profile", `{"networkProfile":null}`, "no networkProfile in it"},
		{"properties of another shape", `{"properties":[1]}`, "properties"},
		{"properties without a profile", `{"properties":{"fqdn":"x"}}`, "no networkProfile in it"},
		{"profile of another shape", `{"networkProfile":"azure"}`, "not the JSON of az aks show"},
		{"list of two", string(readAKS(t, "list")), "a list of 2 clusters"},
		{"unknown engine", `{"networkProfile":{"networkPolicy":"weave"}}`, `networkPolicy "weave" is none of`},
		{"version before policies", `{"kubernetesVersion":"1.6.1","networkProfile":{}}`, "kubernetesVersion: version 1.6 is before 1.7"},
		{"no version", `{"kubernetesVersion":"latest","networkProfile":{}}`, `kubernetesVersion: "latest" is not`},
		{"no CIDR", `{"networkProfile":{"podCidrs":["10.244.0.0/16","everything"]}}`, `"everything" is not a CIDR`},
		{"a long engine", `{"networkProfile":{"networkPolicy":"` + long + `"}}`, "is none of"},
		{"a long CIDR", `{"networkProfile":{"podCidr":"` + long + `"}}`, "is not a CIDR"},
		{"a long version", `{"kubernetesVersion":"` + long + `","networkProfile":{}}`, "is not a Kubernetes version"},
		{"too large", strings.Repeat(" ", MaxAzure+1), "too large"},
		{"deep", strings.Repeat("[", 1<<20), "not the JSON of az aks show"},
	} {
		a, err := ParseAKS([]byte(c.data))
		if err == nil {
			t.Errorf("%s: read as %+v", c.name, a)
		} else if !strings.Contains(err.Error(), c.want) || len(err.Error()) > 400 {
			t.Errorf("%s: %.400v, want %q", c.name, err, c.want)
		}
	}
}

// TestParseAKSHostileSizes: notes stay lines that a person reads.
func TestParseAKSHostileSizes(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	pools := strings.Repeat(`{"name":"`+strings.Repeat("p", 1000)+`","osType":"windows"},`, 1000)
	a, err := ParseAKS([]byte(`{"name":"` + long + `","agentPoolProfiles":[` + strings.TrimSuffix(pools, ",") + `],
		"networkProfile":{"networkPlugin":"` + long + `","networkPluginMode":"` + long + `","networkPolicy":"none"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range a.Notes {
		if len(n) > 1000 {
			t.Errorf("a note of %d bytes: %.80s", len(n), n)
		}
	}
}

// FuzzParseAKS: nothing makes the reader panic, and what it gives can be used.
func FuzzParseAKS(f *testing.F) {
	files, err := filepath.Glob("testdata/aks/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal("no testdata", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Add([]byte(`{"name":"x","properties":{"networkProfile":{"networkPolicy":"NONE","podCidr":"010.0.0.5/8"}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ParseAKS(data)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if a.Plugin.Name != "" && !profiled(a.Plugin.Name) {
			t.Errorf("plugin %q has no profile", a.Plugin.Name)
		}
		for _, p := range a.PodCIDRs {
			if p != p.Masked() {
				t.Errorf("pod range %s has host bits", p)
			}
		}
		if len(a.Notes) > 10 {
			t.Errorf("%d notes", len(a.Notes))
		}
	})
}

func profiled(name string) bool { _, ok := profiles[name]; return ok }

func TestPodIdentityAddOn(t *testing.T) {
	for profile, want := range map[string]bool{`null`: false, `{"enabled":false}`: false, `{"enabled":true}`: true} {
		a, err := ParseAKS([]byte(`{"name":"c","networkProfile":{"networkPlugin":"azure","networkPolicy":"calico"},"podIdentityProfile":` + profile + `}`))
		if err != nil || a.PodIdentityAddOn != want {
			t.Errorf("%s: %v %v", profile, a, err)
		}
	}
}
