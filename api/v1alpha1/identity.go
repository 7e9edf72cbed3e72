package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// WorkloadIdentity says what the pods of one service account may obtain to prove who they are: always an
// X.509-SVID of spiffe://<trust domain>/ns/<namespace>/sa/<service account>, and where it says so JWT-SVIDs and
// tokens of identities outside the cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=wid,categories=sallyport
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Service Account",type=string,JSONPath=`.spec.serviceAccountName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type WorkloadIdentity struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec WorkloadIdentitySpec `json:"spec"`
	// +optional
	Status Status `json:"status,omitempty"`
}

// WorkloadIdentityList is a list of WorkloadIdentities.
//
// +kubebuilder:object:root=true
type WorkloadIdentityList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []WorkloadIdentity `json:"items"`
}

// WorkloadIdentitySpec is what a WorkloadIdentity asks for.
type WorkloadIdentitySpec struct {
	// ServiceAccountName names the service account, in the same namespace, that the identity is of.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	ServiceAccountName string `json:"serviceAccountName"`

	// PodSelector narrows it to some pods of the service account. It never widens it: who may set labels
	// gains nothing by it. Absent: all pods of the service account.
	// +optional
	PodSelector *metav1.LabelSelector `json:"podSelector,omitempty"`

	// X509 is about the X.509-SVID.
	// +optional
	X509 X509SVID `json:"x509,omitzero"`

	// JWT lets pods obtain JWT-SVIDs. Absent: none.
	// +optional
	JWT *JWTSVID `json:"jwt,omitempty"`

	// ExternalIdentities are identities outside the cluster for which pods may obtain tokens.
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	ExternalIdentities []ExternalIdentity `json:"externalIdentities,omitempty"`

	// Require names what must hold before anything is issued.
	// +optional
	Require Requirements `json:"require,omitzero"`
}

// X509SVID is about an X.509-SVID.
type X509SVID struct {
	// Lifetime of a certificate, from 5m to 24h. Absent: 15m.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('5m') && duration(self) <= duration('24h')",message="must lie between 5m and 24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}[hms]){1,3}$`
	// +optional
	Lifetime *metav1.Duration `json:"lifetime,omitempty"`

	// DNSNames are written into the certificate beside the SPIFFE ID.
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	// +kubebuilder:validation:items:Pattern=`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +listType=set
	// +optional
	DNSNames []string `json:"dnsNames,omitempty"`
}

// JWTSVID is about JWT-SVIDs.
type JWTSVID struct {
	// Audiences are those that a token may be asked for; none other is issued.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +listType=set
	Audiences []string `json:"audiences"`

	// Lifetime of a token, from 1m to 1h. Absent: 5m.
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('1h')",message="must lie between 1m and 1h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]{1,6}[hms]){1,3}$`
	// +optional
	Lifetime *metav1.Duration `json:"lifetime,omitempty"`
}

// ExternalIdentity is an identity outside the cluster. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.azure)",message="set azure"
type ExternalIdentity struct {
	// Azure is a managed identity or an application of Microsoft Entra.
	// +optional
	Azure *AzureGrant `json:"azure,omitempty"`
}

// AzureGrant is an Azure identity, with the resources that tokens may be asked for.
type AzureGrant struct {
	AzureIdentity `json:",inline"`

	// Resources are the resources (audiences) that a token may be asked for, such as
	// https://database.windows.net. A slash at the end makes no difference.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=512
	// +listType=set
	Resources []string `json:"resources"`
}

// AzureIdentity names a managed identity or an application of Microsoft Entra.
type AzureIdentity struct {
	// ClientID is its client (application) ID, a UUID.
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:Pattern=`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`
	ClientID string `json:"clientID"`

	// TenantID is its tenant, a UUID. Absent: the cluster's own, and where identities are compared any.
	// +kubebuilder:validation:MaxLength=36
	// +kubebuilder:validation:Pattern=`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`
	// +optional
	TenantID string `json:"tenantID,omitempty"`
}

// Requirements are what must hold before anything is issued.
type Requirements struct {
	// NetworkEnforced: nothing is issued to a pod before its network policies are programmed. Absent: true.
	// +kubebuilder:default=true
	// +optional
	NetworkEnforced *bool `json:"networkEnforced,omitempty"`
}
