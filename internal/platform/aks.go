package platform

import (
	"bytes"
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
	Pools    []AgentPool
	// PodIdentityAddOn: the add-on for Azure AD Pod Identity is on, which keeps identities to their namespaces.
	PodIdentityAddOn bool
	Notes            []string
}

// AgentPool is a group of nodes of one kind. Subnets are resource IDs, and empty where the file names none.
type AgentPool struct {
	Name       string
	NodeSubnet string
	PodSubnet  string // where pods have addresses of another subnet than nodes
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
	PodIdentity              *aksToggle      `json:"podIdentityProfile"`
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
	Nodes  string `json:"vnetSubnetId"`
	Pods   string `json:"podSubnetId"`
}

type aksToggle struct {
	Enabled bool `json:"enabled"`
}

type aksSecurity struct {
	WorkloadIdentity *aksToggle `json:"workloadIdentity"`
}

// MaxAzure bounds a file that came from Azure; one about a cluster or a server has a few kilobytes.
const MaxAzure = 16 << 20

// AzureText gives the text of a file that a command of az wrote, without what shells put in front of it.
func AzureText(data []byte, command string) ([]byte, error) {
	if len(data) > MaxAzure {
		return nil, fmt.Errorf("the file is too large to be the output of %s", command)
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("the file is UTF-16, as PowerShell's > writes it: write it with %s | Out-File -Encoding utf8", command)
	}
	return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), nil
}

// ParseAKS reads the output of `az aks show -o json`.
func ParseAKS(data []byte) (*AKS, error) {
	data, err := AzureText(data, "az aks show -o json")
	if err != nil {
		return nil, err
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
			return nil, errors.New("not the JSON of az aks show: properties is no object of the right form")
		}
		c.Name = name
	}
	if c.NetworkProfile == nil {
		return nil, errors.New("no networkProfile in it: is it the output of az aks show -o json?")
	}
	return c.facts()
}

func (c *aksCluster) facts() (*AKS, error) {
	out := &AKS{Name: cut(c.Name)}
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
	var windows []string
	for _, p := range c.AgentPoolProfiles {
		out.Pools = append(out.Pools, AgentPool{Name: p.Name, NodeSubnet: p.Nodes, PodSubnet: p.Pods})
		if strings.EqualFold(p.OSType, "Windows") {
			windows = append(windows, cut(p.Name))
		}
	}
	if err := c.NetworkProfile.facts(out, len(windows) > 0); err != nil {
		return nil, err
	}
	if len(windows) > 0 {
		out.note("agent pools that run Windows: %s; network policies there are limited, and Cilium has none", cut(strings.Join(windows, ", ")))
	}
	out.PodIdentityAddOn = c.PodIdentity != nil && c.PodIdentity.Enabled
	issuer := c.OIDC != nil && c.OIDC.Enabled
	identity := c.Security != nil && c.Security.WorkloadIdentity != nil && c.Security.WorkloadIdentity.Enabled
	if identity && !issuer {
		out.note("workload identity is on, but the OIDC issuer that it needs is off")
	}
	return out, nil
}

// cut keeps a name from outside short enough for a line.
func cut(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func (a *AKS) note(format string, args ...any) {
	a.Notes = append(a.Notes, strings.TrimSpace("AKS "+a.Name)+": "+fmt.Sprintf(format, args...))
}

func (n *aksNetwork) facts(out *AKS, windows bool) error {
	cidrs := n.PodCIDRs
	if len(cidrs) == 0 && n.PodCIDR != "" {
		cidrs = []string{n.PodCIDR}
	}
	for _, s := range cidrs {
		p, ok := policy.ParseCIDR(s)
		if !ok {
			return fmt.Errorf("podCidrs: %s is not a CIDR", quoted(s))
		}
		out.PodCIDRs = append(out.PodCIDRs, p)
	}
	if err := n.engine(out, windows); err != nil {
		return err
	}
	mode := n.Plugin
	if n.PluginMode != "" {
		mode += " in mode " + n.PluginMode
	}
	if mode != "" && !strings.EqualFold(n.Plugin, "none") {
		out.note("networkPlugin is %s", cut(mode))
	}
	if len(out.PodCIDRs) == 0 && strings.EqualFold(n.Plugin, "azure") && n.PluginMode == "" {
		out.note("pods have addresses of the nodes' subnet, so no pod range is known")
	}
	return nil
}

// engine says who enforces policies. Where the file does not settle it, the plugin stays unknown: a
// cluster is never said to have none because a file said too little.
func (n *aksNetwork) engine(out *AKS, windows bool) error {
	cilium := strings.EqualFold(n.Dataplane, "cilium")
	switch engine := strings.ToLower(n.Policy); engine {
	case "", "none":
		switch {
		case strings.EqualFold(n.Plugin, "none"):
			out.note("networkPlugin is none: the cluster was made for a plugin of the owner's choice, which this file does not name; say which with --plugin")
		case cilium:
			out.note("networkDataplane is cilium although networkPolicy is none: whether Cilium enforces policies here is not certain; say with --plugin cilium or --plugin none")
		default:
			out.Plugin = Plugin{Name: "none"}
			out.note("networkPolicy is none: AKS runs no policy engine here; one that somebody installed by hand does not show in this file (name it with --plugin)")
			out.note("%s", n.inPlace(windows))
		}
		return nil
	case "azure":
		out.Plugin = Plugin{Name: "azure-npm"}
		out.note("networkPolicy is azure (NPM), whose support ends (Microsoft's pages name 2026 and 2028 for Linux); %s", n.inPlace(windows))
	case "calico", "cilium":
		out.Plugin = Plugin{Name: engine}
	default:
		return fmt.Errorf("networkPolicy %s is none of none, azure, calico, cilium", quoted(n.Policy))
	}
	if cilium && out.Plugin.Name != "cilium" {
		out.note("networkDataplane is cilium although networkPolicy is %s: which of the two enforces is not certain", n.Policy)
	}
	return nil
}

// inPlace says whether the engine of this cluster can be changed without making a new cluster, as
// far as the file tells.
func (n *aksNetwork) inPlace(windows bool) string {
	cilium := "Cilium (az aks update --network-dataplane cilium)"
	switch {
	case strings.EqualFold(n.Plugin, "kubenet"):
		cilium = "Cilium not before the cluster has moved from kubenet to Azure CNI"
	case windows:
		cilium = "Cilium not while there are Windows pools"
	}
	return "an engine was once chosen at creation only; today this cluster may be changed in place: Calico (az aks update --network-policy calico), " +
		cilium + "; both re-image every node, under conditions that this file does not settle"
}
