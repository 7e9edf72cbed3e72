// Package cluster holds the Snapshot: everything that is known of one cluster at one moment, as
// immutable values that remember where they came from.
//
// It must never read a file or talk to a server, and must never interpret a policy.
package cluster

import (
	"net/netip"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"sallyport.dev/sallyport/internal/flow"
	"sallyport.dev/sallyport/internal/netset"
)

// MetadataNameLabel is the label that every namespace carries with its own name (S4).
const MetadataNameLabel = "kubernetes.io/metadata.name"

// EstablishedAnnotation of a policy says what becomes of connections that it ceases to allow: cut, which is what happens without
// it, or keep.
const EstablishedAnnotation = "sallyport.dev/established"

// The values of EstablishedAnnotation.
const (
	CutEstablished  = "cut"
	KeepEstablished = "keep"
)

// Snapshot is what is known of a cluster. Every list is sorted by (namespace, kind, name), so that
// the same objects give the same Snapshot whatever their order in the input (S61). It must not be
// changed once built.
type Snapshot struct {
	Revision string // of the source: empty for files, a resource version for a live cluster
	Facts    Facts

	Namespaces []Namespace
	Pods       []Pod // endpoints, hostNetwork pods included
	Nodes      []Node
	Services   []Service
	Accounts   []ServiceAccount
	Entries    []EntryPoint
	Callbacks  []Callback
	Monitors   []Monitor
	Granted    []ServiceAccount // those that some role binding gives rights to, without repetition

	NetworkPolicies []NetworkPolicy
	ClusterPolicies []ClusterPolicy // ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy
	ForeignPolicies []ForeignPolicy
	Identities      []WorkloadIdentity
	AccessPolicies  []AccessPolicy
	External        []ExternalService // those of the cluster first
	AzureIdentities []AzureIdentity
	AzureBindings   []AzureIdentityBinding
	AzureExceptions []AzurePodIdentityException
	Unreadable      []Unreadable // with SkipUnreadable (S2), and what a server sent that has no sense
	Notes           []Note       // of the reader, sorted by place
	Ignores         []Ignore     // sorted by place
}

// Facts are statements about the cluster as a whole that the input itself carries (a saved
// snapshot or a live cluster); every field may be empty.
type Facts struct {
	KubeVersion string         // such as "1.31" or "v1.31.4"
	Plugin      string         // such as "calico" or "cilium@1.16"
	PodCIDRs    []netip.Prefix // beside those of the Nodes
	TrustDomain string         // of identities; empty: cluster.local (docs/layers.md, L10)
	// PodIdentityAddOn: AKS' add-on for Azure AD Pod Identity is on, which keeps identities to their namespaces (L14).
	PodIdentityAddOn bool
}

// Namespace is a namespace and its labels.
type Namespace struct {
	Origin Origin
	Name   string
	Labels map[string]string
	// NameLabelWritten: the input itself carries MetadataNameLabel. Where it does not, the label is
	// the one that servers add since 1.21 (S25).
	NameLabelWritten bool
	// Assumed: no such object was in the input. Labels then holds MetadataNameLabel only, and every
	// other label is unknown (S4).
	Assumed bool
}

// Workload names what people call a group of pods: the top owner.
type Workload struct {
	Namespace string
	Kind      string // full lower-case singular: deployment, statefulset, …, pod for a bare pod
	Name      string
}

// String gives ns/kind/name.
func (w Workload) String() string { return w.Namespace + "/" + w.Kind + "/" + w.Name }

// ContainerPort is a port that a container declares; only named ones matter to policies.
type ContainerPort struct {
	Name  string // empty if it has none
	Proto netset.Proto
	Port  uint16
	// RestartableInit: declared by an init container that keeps running; policies see its name
	// since 1.28 (S14, S25).
	RestartableInit bool
}

// Pod is an endpoint: a real pod, or one replica of a workload's template (S3).
type Pod struct {
	Origin    Origin
	Namespace string
	Name      string // the pod's name; for a template the workload's name
	Owner     Workload
	Template  bool // from a workload's template: no address and no node are known
	Replica   int  // 0, or 1 for the second endpoint of a template that may run more than one replica (S3)
	Labels    map[string]string
	// Addrs are the known addresses, at most one per family in practice; empty for templates (S17, S31).
	Addrs       []netip.Addr
	HostNetwork bool            // shares its node's address and is never selected (S23)
	NodeName    string          // empty if not scheduled or not known
	Account     string          // service account; "default" where the spec says nothing
	Ports       []ContainerPort // of containers and restartable init containers, in written order (S14)
	Windows     bool            // spec.os.name, or a node selector for Windows, says so
	Pending     bool            // has no address yet and cannot talk (S5)
	Terminating bool            // still subject and peer until its sandbox ends (S31)
	// NoToken: no token of the account is mounted, so that the pod does not speak to the API server.
	NoToken bool
	// EntraToken: it has, or will be given, a token of its account that Entra takes (L13).
	EntraToken bool
	// Scraped: its annotations ask Prometheus to collect metrics, on ScrapePort if that is not 0.
	Scraped    bool
	ScrapePort uint16
	// Probed are the TCP ports on which the kubelet asks the pod whether it lives and is ready, sorted.
	Probed []uint16
}

// Addr gives the pod's address in a family, or the zero Addr if it has none or it is not known.
func (p *Pod) Addr(f flow.Family) netip.Addr {
	for _, a := range p.Addrs {
		if flow.FamilyOf(a) == f {
			return a
		}
	}
	return netip.Addr{}
}

// String gives ns/kind/name for a workload's replica and ns/pod/name for a pod.
func (p *Pod) String() string {
	if p.Template {
		return p.Owner.String()
	}
	return p.Namespace + "/pod/" + p.Name
}

// Node is a machine of the cluster.
type Node struct {
	Origin   Origin
	Name     string
	Labels   map[string]string
	Addrs    []netip.Addr   // from status.addresses, and from hostNetwork pods on it
	PodCIDRs []netip.Prefix // from spec.podCIDRs
	Windows  bool
	// Assumed: named by a pod, but no such object was in the input; its labels are unknown.
	Assumed bool
}

// Service is a service with the ports and selector that lead to its backends.
type Service struct {
	Origin       Origin
	Namespace    string
	Name         string
	Labels       map[string]string
	Type         string            // ClusterIP, NodePort, LoadBalancer, ExternalName
	Selector     map[string]string // nil: backends come from EndpointSlices only
	ClusterIPs   []netip.Addr
	Headless     bool
	Ports        []ServicePort
	ExternalName string
	// LocalTraffic: externalTrafficPolicy is Local, so that a client's address is kept (S24).
	LocalTraffic bool
	// Slices are backends from EndpointSlices; used where Selector is nil.
	Slices []Backend
}

// Selects tells whether the service's selector selects a pod; a service without one selects none.
func (s *Service) Selects(p *Pod) bool {
	return p.Namespace == s.Namespace && len(s.Selector) > 0 && HasLabels(p.Labels, s.Selector)
}

// HasLabels tells whether labels hold each of want.
func HasLabels(labels, want map[string]string) bool {
	for k, v := range want {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}

// ServicePort is one port of a service. TargetName is set where targetPort is a name.
type ServicePort struct {
	Name       string
	Proto      netset.Proto
	Port       uint16
	Target     uint16 // 0 where TargetName is set
	TargetName string
	NodePort   uint16
}

// TargetPorts gives the numbers that the port leads to at a pod: none if targetPort is a name that the
// pod does not declare.
func (sp ServicePort) TargetPorts(p *Pod) []uint16 {
	if sp.TargetName == "" {
		return []uint16{sp.Target}
	}
	for _, c := range p.Ports {
		if c.Name == sp.TargetName && c.Proto == sp.Proto {
			return []uint16{c.Port}
		}
	}
	return nil
}

// Backend is one endpoint of an EndpointSlice.
type Backend struct {
	Addr  netip.Addr
	Pod   string // name of the pod in the service's namespace; empty if it is none
	Ports []ContainerPort
}

// Callback is something that makes the API server call a Service: a webhook's configuration, an
// APIService, or a CustomResourceDefinition with a conversion webhook.
type Callback struct {
	Origin   Origin
	Kind     string // as manifests spell it
	Name     string
	Backends []EntryBackend
}

// Monitor is a ServiceMonitor or PodMonitor: it says what Prometheus collects metrics from.
type Monitor struct {
	Origin          Origin
	Kind            string // as manifests spell it
	Namespace, Name string
	Selector        metav1.LabelSelector // of Services, or for a PodMonitor of pods
	EveryNamespace  bool
	Namespaces      []string // where EveryNamespace is not set; its own if nothing is said
	Ports           []MonitorPort
}

// MonitorPort is a port that a Monitor names: by the name that it has at the Service (ServiceMonitor) or
// the pod (PodMonitor), or by number or name at the pod.
type MonitorPort struct {
	Name       string
	Target     uint16 // 0 if not given
	TargetName string
}

// ServiceAccount exists so that a question can name it; network policies never see it.
type ServiceAccount struct {
	Origin    Origin
	Namespace string
	Name      string
	// EntraClient and EntraTenant are its annotations for Azure Workload Identity as written; nil where they are not
	// there (L13).
	EntraClient, EntraTenant *string
}

// EntryPoint is an Ingress, Gateway route or the like: a way in from outside that ends at services.
type EntryPoint struct {
	Origin    Origin
	Kind      string // full lower-case singular: ingress, httproute, grpcroute, tlsroute, tcproute, udproute
	Namespace string
	Name      string
	Hosts     []string
	Parents   []string // the Gateways or the ingress class it hangs on, for people
	Backends  []EntryBackend
}

// EntryBackend is a service port that an entry point leads to.
type EntryBackend struct {
	Namespace, Service string
	Port               uint16 // 0 where PortName is set
	PortName           string
}

// NetworkPolicy is a networking.k8s.io/v1 NetworkPolicy as written, except that its namespace is
// filled in and its policyTypes are defaulted (S1).
type NetworkPolicy struct {
	Origin Origin
	Object *networkingv1.NetworkPolicy
	// NotUnderstood lists what could not be read of a policy that came from a server (S32); such a
	// policy isolates its subjects in the directions given by Object.Spec.PolicyTypes. Empty for files.
	NotUnderstood []string
}

// ClusterPolicy is a ClusterNetworkPolicy, or an AdminNetworkPolicy or BaselineAdminNetworkPolicy
// rewritten as one (S40); paths in the written object are the same.
type ClusterPolicy struct {
	Origin        Origin
	Kind          string // as written: ClusterNetworkPolicy, AdminNetworkPolicy, BaselineAdminNetworkPolicy
	Object        *policyv1alpha2.ClusterNetworkPolicy
	NotUnderstood []string
}

// ForeignPolicy is a policy of another engine, which is named but not evaluated.
type ForeignPolicy struct {
	Origin    Origin
	Group     string // crd.projectcalico.org, projectcalico.org or cilium.io
	Kind      string
	Namespace string // empty for a cluster-wide one
	Name      string
	Ingress   bool // may decide ingress of the pods in scope
	Egress    bool
}

// Unreadable is a file, or an object in one, that was left out at the user's wish (S2), or what a
// server would not show.
type Unreadable struct {
	Origin  Origin
	Why     string
	Missing Missing
	// Beyond: only policies of namespaces other than this one are missing. Empty: it may be any.
	Beyond string
}

// Missing is what an Unreadable may hold.
type Missing int

const (
	MissingPolicies Missing = iota // policies that are evaluated: verdicts are unknown (S2)
	MissingForeign                 // policies of another engine, which count as S33 says
	MissingLayers                  // what is said of identities and of what lies outside (L3)
	MissingObjects                 // no policy, but objects that policies may be about: no verdict depends on them
)

// Counts tells whether what is missing makes verdicts unknown.
func (u *Unreadable) Counts(strict bool) bool {
	return u.Missing == MissingPolicies || u.Missing == MissingForeign && strict
}

// CountsFor tells the same of the verdicts that the policies of a namespace decide.
func (u *Unreadable) CountsFor(namespace string, strict bool) bool {
	return u.Counts(strict) && (u.Beyond == "" || u.Beyond != namespace)
}

// Note is something the reader wants people to know.
type Note struct {
	Origin Origin
	Text   string
}

// Ignore is somebody's wish, written at an object, that a kind of finding is not held against it or
// against a part of it.
type Ignore struct {
	Origin                Origin
	Kind, Namespace, Name string // of the object
	Path                  string // the part of the object; empty for all of it
	Rule, Reason          string // as written: the rule may not exist, and the reason be missing
}

// NamespaceByName gives the namespace, or nil.
func (s *Snapshot) NamespaceByName(name string) *Namespace {
	i, ok := slices.BinarySearchFunc(s.Namespaces, name, func(n Namespace, name string) int {
		return strings.Compare(n.Name, name)
	})
	if !ok {
		return nil
	}
	return &s.Namespaces[i]
}

// NodeIndex gives the index of a node by name, or -1.
func (s *Snapshot) NodeIndex(name string) int {
	i, ok := slices.BinarySearchFunc(s.Nodes, name, func(n Node, name string) int { return strings.Compare(n.Name, name) })
	if !ok {
		return -1
	}
	return i
}

// PodIndex gives the index of a real pod by name, or -1.
func (s *Snapshot) PodIndex(namespace, name string) int {
	return slices.IndexFunc(s.Pods, func(p Pod) bool { return !p.Template && p.Namespace == namespace && p.Name == name })
}
