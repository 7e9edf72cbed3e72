package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ExternalService states facts about something outside the cluster that the pods of its namespace use. It
// enforces nothing.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=xsvc,categories=sallyport
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="DNS Name",type=string,JSONPath=`.spec.names[0]`
// +kubebuilder:printcolumn:name="Public Access",type=string,JSONPath=`.spec.firewall.publicNetworkAccess`
// +kubebuilder:printcolumn:name="Authentication",type=string,JSONPath=`.spec.authentication.mode`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ExternalService struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ExternalServiceSpec `json:"spec"`
	// +optional
	Status Status `json:"status,omitempty"`
}

// ExternalServiceList is a list of ExternalServices.
//
// +kubebuilder:object:root=true
type ExternalServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ExternalService `json:"items"`
}

// ClusterExternalService is an ExternalService that all namespaces use.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=cxsvc,categories=sallyport
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="DNS Name",type=string,JSONPath=`.spec.names[0]`
// +kubebuilder:printcolumn:name="Public Access",type=string,JSONPath=`.spec.firewall.publicNetworkAccess`
// +kubebuilder:printcolumn:name="Authentication",type=string,JSONPath=`.spec.authentication.mode`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ClusterExternalService struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ExternalServiceSpec `json:"spec"`
	// +optional
	Status Status `json:"status,omitempty"`
}

// ClusterExternalServiceList is a list of ClusterExternalServices.
//
// +kubebuilder:object:root=true
type ClusterExternalServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterExternalService `json:"items"`
}

// ExternalServiceSpec holds the facts.
//
// +kubebuilder:validation:XValidation:rule="has(self.cidrs) || has(self.names) || has(self.firewall) && has(self.firewall.privateEndpoints)",message="set names, cidrs or firewall.privateEndpoints: without any nothing is named"
type ExternalServiceSpec struct {
	// Names are its DNS names, for people; they are never resolved.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +listType=set
	// +optional
	Names []string `json:"names,omitempty"`

	// CIDRs are the public addresses that it answers at. Absent: they are not known, and any public address may
	// be one.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="must be a CIDR without host bits"
	// +listType=set
	// +optional
	CIDRs []string `json:"cidrs,omitempty"`

	// Ports that it serves.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	Ports []ExternalPort `json:"ports"`

	// Firewall is its own. Absent: nothing is known of one.
	// +optional
	Firewall *ExternalFirewall `json:"firewall,omitempty"`

	// Authentication says whom it lets in. Absent: nothing is known.
	// +optional
	Authentication *ExternalAuthentication `json:"authentication,omitempty"`

	// Sources say as what the pods of this cluster appear to it. A pod that none of them is about appears as
	// something unknown.
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Sources []ClusterSource `json:"sources,omitempty"`
}

// ExternalPort is a port or a range of ports.
//
// +kubebuilder:validation:XValidation:rule="!has(self.endPort) || self.endPort >= self.port",message="endPort must not be below port"
type ExternalPort struct {
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// EndPort ends a range, itself included.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	// +optional
	EndPort *int32 `json:"endPort,omitempty"`
	// Protocol of the port. Absent: TCP.
	// +kubebuilder:validation:Enum=TCP;UDP;SCTP
	// +kubebuilder:default=TCP
	// +optional
	Protocol corev1.Protocol `json:"protocol,omitempty"`
}

// PublicNetworkAccess tells whether the public addresses answer at all.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type PublicNetworkAccess string

// The values of PublicNetworkAccess.
const (
	PublicEnabled  PublicNetworkAccess = "Enabled"
	PublicDisabled PublicNetworkAccess = "Disabled"
)

// ExternalFirewall admits at the public addresses what one of its rules names: rules only allow, so that the
// result is their union. Private endpoints are another way in, which no rule closes.
type ExternalFirewall struct {
	// PublicNetworkAccess Disabled closes the public addresses whatever the rules say. Absent: Enabled.
	// +kubebuilder:default=Enabled
	// +optional
	PublicNetworkAccess PublicNetworkAccess `json:"publicNetworkAccess,omitempty"`

	// IPRules admit ranges of source addresses. The range 0.0.0.0 to 0.0.0.0 stands, as with Azure SQL, for
	// allowAzureServices.
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	// +optional
	IPRules []IPRule `json:"ipRules,omitempty"`

	// SubnetRules admit everything in a subnet (service endpoints).
	// +kubebuilder:validation:MaxItems=128
	// +listType=atomic
	// +optional
	SubnetRules []SubnetRule `json:"subnetRules,omitempty"`

	// AllowAzureServices admits whatever runs in Azure, other people's tenants included.
	// +optional
	AllowAzureServices bool `json:"allowAzureServices,omitempty"`

	// PrivateEndpoints are its addresses inside networks of one's own.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	PrivateEndpoints []PrivateEndpoint `json:"privateEndpoints,omitempty"`
}

// IPRule admits a range of source addresses of one family, both ends included.
//
// +kubebuilder:validation:XValidation:rule="isIP(self.first) && isIP(self.last) && ip(self.first).family() == ip(self.last).family()",message="first and last must be addresses of one family"
type IPRule struct {
	// Name of the rule, for people.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Name string `json:"name,omitempty"`
	// First address of the range.
	// +kubebuilder:validation:MaxLength=39
	First string `json:"first"`
	// Last address of the range.
	// +kubebuilder:validation:MaxLength=39
	Last string `json:"last"`
}

// SubnetRule admits a subnet.
type SubnetRule struct {
	// Name of the rule, for people.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Name string `json:"name,omitempty"`
	// Subnet is its resource ID, or any other name that sources use; case makes no difference. A place that is still to be
	// filled in, such as <subscription>, is none.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^<>]*$`
	Subnet string `json:"subnet"`
}

// PrivateEndpoint is an address of the service inside a network of one's own.
//
// +kubebuilder:validation:XValidation:rule="isIP(self.address)",message="address must be an IP address"
type PrivateEndpoint struct {
	// Name of the endpoint, for people.
	// +kubebuilder:validation:MaxLength=128
	// +optional
	Name string `json:"name,omitempty"`
	// Address of the endpoint.
	// +kubebuilder:validation:MaxLength=39
	Address string `json:"address"`
}

// AuthenticationMode says what a service accepts as proof.
//
// +kubebuilder:validation:Enum=IdentityOnly;IdentityOrPassword
type AuthenticationMode string

// The modes of authentication.
const (
	IdentityOnly       AuthenticationMode = "IdentityOnly"
	IdentityOrPassword AuthenticationMode = "IdentityOrPassword"
)

// ExternalAuthentication says whom a service lets in.
type ExternalAuthentication struct {
	// Mode IdentityOrPassword lets in whoever knows a password, which goes around every identity.
	Mode AuthenticationMode `json:"mode"`
	// Resource is what tokens for the service must be issued for, such as https://database.windows.net. A slash at
	// the end makes no difference. Absent: SVIDs of this cluster are accepted themselves.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +optional
	Resource string `json:"resource,omitempty"`
	// Admitted are the identities that it lets in. Absent: they are not known. An empty list: nobody.
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	// +optional
	Admitted []AdmittedIdentity `json:"admitted"`
}

// AdmittedIdentity is an identity that a service lets in. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.azure) != has(self.spiffeID)",message="set exactly one of azure and spiffeID"
type AdmittedIdentity struct {
	// Azure identity.
	// +optional
	Azure *AzureIdentity `json:"azure,omitempty"`
	// SPIFFEID as a whole. No segment of the path is . or ..
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^spiffe://[a-z0-9._-]{1,255}(/([.]*[a-zA-Z0-9_-][a-zA-Z0-9._-]*|[.]{3,}))+$`
	// +optional
	SPIFFEID string `json:"spiffeID,omitempty"`
}

// ClusterSource says as what some pods of this cluster appear. Exactly one of subnet, addresses and podAddresses
// is set.
//
// +kubebuilder:validation:XValidation:rule="(has(self.subnet) ? 1 : 0) + (has(self.addresses) ? 1 : 0) + (has(self.podAddresses) && self.podAddresses ? 1 : 0) == 1",message="set exactly one of subnet, addresses and podAddresses"
type ClusterSource struct {
	// NodeSelector: only pods on nodes with these labels. Absent: all pods.
	// +kubebuilder:validation:MaxProperties=16
	// +optional
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	// Subnet of the nodes, by a service endpoint.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[^<>]*$`
	// +optional
	Subnet string `json:"subnet,omitempty"`
	// Addresses, as CIDRs, of the nodes or of the gateway that they leave by (SNAT).
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=43
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self) && cidr(self) == cidr(self).masked()",message="must be a CIDR without host bits"
	// +listType=set
	// +optional
	Addresses []string `json:"addresses,omitempty"`
	// PodAddresses: pods appear with their own address.
	// +optional
	PodAddresses bool `json:"podAddresses,omitempty"`
}
