package platform

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"sallyport.dev/sallyport/internal/policy"
)

// AKS is what `az aks show -o json` says that matters to policies.
type AKS struct {
	Name     string
	Version  Version
	Plugin   Plugin
	PodCIDRs []netip.Prefix
	Notes    []string
}

// aksCluster has the fields read of a managed cluster; ARM templates nest them under properties.
type aksCluster struct {
	Name                     string          `json:"name"`
	KubernetesVersion        string          `json:"kubernetesVersion"`
	CurrentKubernetesVersion string          `json:"currentKubernetesVersion"`
	NetworkProfile           *aksNetwork     `json:"networkProfile"`
	AgentPoolProfiles        []aksPool       `json:"agentPoolProfiles"`
	OIDC                     *aksToggle      `json:"oidcIssuerProfile"`
	Security                 *aksSecurity    `json:"securityProfile"`
	Properties               json.RawMessage `json:"properties"`
}

type aksNetwork struct {
	Plugin     string   `json:"networkPlugin"`
	PluginMode string   `json:"networkPluginMode"`
	Policy     string   `json:"networkPolicy"`
	Dataplane  string   `json:"networkDataplane"`
	PodCIDR    string   `json:"podCidr"`
	PodCIDRs   []string `json:"podCidrs"`
}

type aksPool struct {
	Name   string `json:"name"`
	OSType string `json:"osType"`
	Count  int    `json:"count"`
}

type aksToggle struct {
	Enabled bool `json:"enabled"`
}

type aksSecurity struct {
	WorkloadIdentity *aksToggle `json:"workloadIdentity"`
}

// maxAKS bounds the file; a real one has a few kilobytes.
const maxAKS = 16 << 20

// ParseAKS reads the output of `az aks show -o json`.
func ParseAKS(data []byte) (*AKS, error) {
	if len(data) > maxAKS {
		return nil, errors.New("the file is too large to be the output of az aks show")
	}
	var c aksCluster
	if err := json.Unmarshal(data, &c); err != nil {
		var list []json.RawMessage
		if json.Unmarshal(data, &list) == nil {
			return nil, fmt.Errorf("the file holds a list of %d clusters: use az aks show -g GROUP -n NAME -o json", len(list))
		}
		return nil, fmt.Errorf("not the JSON of az aks show: %w", err)
	}
	if c.NetworkProfile == nil && len(c.Properties) > 0 {
		name := c.Name
		if err := json.Unmarshal(c.Properties, &c); err != nil {
			return nil, fmt.Errorf("not the JSON of az aks show: properties: %w", err)
		}
		c.Name = name
	}
	if c.NetworkProfile == nil {
		return nil, errors.New("no networkProfile in it: is it the output of az aks show -o json?")
	}
	return c.facts()
}

func (c *aksCluster) facts() (*AKS, error) {
	out := &AKS{Name: c.Name}
	version := c.CurrentKubernetesVersion
	if version == "" {
		version = c.KubernetesVersion
	}
	if version != "" {
		v, err := ParseVersion(version)
		if err != nil {
			return nil, fmt.Errorf("kubernetesVersion: %w", err)
		}
		out.Version = v
	}
	if err := c.NetworkProfile.facts(out); err != nil {
		return nil, err
	}
	for _, p := range c.AgentPoolProfiles {
		if strings.EqualFold(p.OSType, "Windows") {
			out.note("agent pool %s runs Windows: network policies there are limited", p.Name)
		}
	}
	issuer := c.OIDC != nil && c.OIDC.Enabled
	identity := c.Security != nil && c.Security.WorkloadIdentity != nil && c.Security.WorkloadIdentity.Enabled
	if identity && !issuer {
		out.note("workload identity is on, but the OIDC issuer that it needs is off")
	}
	return out, nil
}

func (a *AKS) note(format string, args ...any) {
	a.Notes = append(a.Notes, "AKS "+a.Name+": "+fmt.Sprintf(format, args...))
}

func (n *aksNetwork) facts(out *AKS) error {
	cidrs := n.PodCIDRs
	if len(cidrs) == 0 && n.PodCIDR != "" {
		cidrs = []string{n.PodCIDR}
	}
	for _, s := range cidrs {
		p, ok := policy.ParseCIDR(s)
		if !ok {
			return fmt.Errorf("podCidrs: %q is not a CIDR", s)
		}
		out.PodCIDRs = append(out.PodCIDRs, p)
	}
	switch strings.ToLower(n.Policy) {
	case "", "none":
		out.Plugin = Plugin{Name: "none"}
		out.note("networkPolicy is none; %s", inPlace)
	case "azure":
		out.Plugin = Plugin{Name: "azure-npm"}
		out.note("networkPolicy is azure (NPM), whose support ends; whether it can be changed to another engine in place depends on the cluster and is not certain")
	case "calico", "cilium":
		out.Plugin = Plugin{Name: strings.ToLower(n.Policy)}
	default:
		return fmt.Errorf("networkPolicy %q is none of none, azure, calico, cilium", n.Policy)
	}
	if strings.EqualFold(n.Dataplane, "cilium") && out.Plugin.Name != "cilium" {
		out.note("networkDataplane is cilium although networkPolicy is %q: which of the two enforces is not certain", n.Policy)
	}
	mode := n.Plugin
	if n.PluginMode != "" {
		mode += " in mode " + n.PluginMode
	}
	out.note("networkPlugin is %s", mode)
	if len(out.PodCIDRs) == 0 && strings.EqualFold(n.Plugin, "azure") && n.PluginMode == "" {
		out.note("pods have addresses of the nodes' subnet, so no pod range is known")
	}
	return nil
}

const inPlace = "an engine was once chosen at cluster creation only; today Calico or Cilium can under conditions be turned on in place, which this file does not settle"
