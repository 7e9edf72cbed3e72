package cluster

import "regexp"

// UUID matches how Azure spells the IDs of clients and tenants, as the pattern of the API does.
var UUID = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// The labels and annotations by which pods and service accounts ask for Azure identities (docs/layers.md, L13 and L14).
const (
	EntraLabel            = "azure.workload.identity/use"
	EntraClientAnnotation = "azure.workload.identity/client-id"
	EntraTenantAnnotation = "azure.workload.identity/tenant-id"
	BindingLabel          = "aadpodidbinding"
	BehaviorAnnotation    = "aadpodidentity.k8s.io/Behavior"
)

// AzureIdentity is an aadpodidentity.k8s.io AzureIdentity (L14).
type AzureIdentity struct {
	Origin          Origin
	Namespace, Name string
	Type            int64 // 0 a managed identity, 1 and 2 service principals
	ClientID        string
	TenantID        string
	Namespaced      bool // its annotation keeps it to its own namespace
}

// AzureIdentityBinding gives an AzureIdentity of its namespace to pods by the value of one label (L14).
type AzureIdentityBinding struct {
	Origin          Origin
	Namespace, Name string
	Identity        string // name of the AzureIdentity
	Selector        string // the value of BindingLabel
}

// AzurePodIdentityException hands out what the node has, to the pods of its namespace with one of the labels (L15).
type AzurePodIdentityException struct {
	Origin          Origin
	Namespace, Name string
	PodLabels       map[string]string
}
