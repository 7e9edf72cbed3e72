package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// AccessPolicy says who may use a target, by identity and never by label or address. All policies with mode
// Enforce that name a target count together: a peer that is not authenticated is denied, one that a Deny matches
// is denied, one that an Allow matches is allowed, every other is denied.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=acp,categories=sallyport
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Enforced By",type=string,JSONPath=`.spec.enforcedBy`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type AccessPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec AccessPolicySpec `json:"spec"`
	// +optional
	Status Status `json:"status,omitempty"`
}

// AccessPolicyList is a list of AccessPolicies.
//
// +kubebuilder:object:root=true
type AccessPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []AccessPolicy `json:"items"`
}

// AccessPolicySpec is what an AccessPolicy says.
//
// +kubebuilder:validation:XValidation:rule="!has(self.enforcedBy) || has(self.target.pods)",message="enforcedBy is for a target of pods: for an external service its tokens are withheld"
type AccessPolicySpec struct {
	// Target is what is used.
	Target AccessTarget `json:"target"`

	// Mode Audit only reports what Enforce would do.
	// +kubebuilder:default=Enforce
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// EnforcedBy says who asks a peer for its identity at the target pods: Gate, the mTLS gate in front of them,
	// or Application, the program itself. Absent: nobody is known to, and what the policy denies counts as unknown.
	// +optional
	EnforcedBy Enforcer `json:"enforcedBy,omitempty"`

	// Rules in no order: Deny goes before Allow. An empty list allows nobody.
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	Rules []AccessRule `json:"rules"`

	// Project compiles the rules into other layers, where they are enforced a second time.
	// +optional
	Project Projection `json:"project,omitzero"`
}

// Mode tells whether an AccessPolicy acts or only reports.
//
// +kubebuilder:validation:Enum=Enforce;Audit
type Mode string

// The modes.
const (
	ModeEnforce Mode = "Enforce"
	ModeAudit   Mode = "Audit"
)

// Enforcer is who enforces an AccessPolicy at its target pods.
//
// +kubebuilder:validation:Enum=Gate;Application
type Enforcer string

// The enforcers.
const (
	EnforcerGate        Enforcer = "Gate"
	EnforcerApplication Enforcer = "Application"
)

// AccessTarget is what an AccessPolicy is about. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="has(self.pods) != has(self.externalService)",message="set exactly one of pods and externalService"
type AccessTarget struct {
	// Pods of the policy's namespace.
	// +optional
	Pods *PodTarget `json:"pods,omitempty"`
	// ExternalService outside the cluster.
	// +optional
	ExternalService *ExternalServiceReference `json:"externalService,omitempty"`
}

// PodTarget selects pods and ports of the policy's namespace.
type PodTarget struct {
	// PodSelector selects the pods by label; {} selects all of the namespace.
	PodSelector metav1.LabelSelector `json:"podSelector"`
	// Ports that are meant. Absent: every port and protocol.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +listType=atomic
	// +optional
	Ports []TargetPort `json:"ports,omitempty"`
}

// TargetPort is a port, or a range of ports, of target pods.
//
// +kubebuilder:validation:XValidation:rule="!has(self.endPort) || type(self.port) == int && self.endPort >= self.port",message="endPort needs a number in port and must not be below it"
// +kubebuilder:validation:XValidation:rule="type(self.port) == string ? self.port.matches('^[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$') && self.port.matches('[a-z]') && !self.port.contains('--') : self.port >= 1 && self.port <= 65535",message="port must be a number from 1 to 65535 or the name of a container port"
type TargetPort struct {
	// Port is a number, or a name that the pod declares.
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=15
	Port intstr.IntOrString `json:"port"`
	// EndPort ends a range of numbers, itself included.
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

// ExternalServiceReference names an ExternalService of the policy's namespace, or a ClusterExternalService.
type ExternalServiceReference struct {
	// Kind of the service. Absent: ExternalService.
	// +kubebuilder:validation:Enum=ExternalService;ClusterExternalService
	// +kubebuilder:default=ExternalService
	// +optional
	Kind string `json:"kind,omitempty"`
	// Name of the service.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Action is what a rule does with the peers that it matches.
//
// +kubebuilder:validation:Enum=Allow;Deny
type Action string

// The actions.
const (
	ActionAllow Action = "Allow"
	ActionDeny  Action = "Deny"
)

// AccessRule allows or denies some peers.
type AccessRule struct {
	Action Action `json:"action"`
	// From lists the peers; one of them must match.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	From []AccessPeer `json:"from"`
}

// AccessPeer matches an identity. Exactly one field is set.
//
// +kubebuilder:validation:XValidation:rule="(has(self.serviceAccount) ? 1 : 0) + (has(self.spiffeID) ? 1 : 0) + (has(self.spiffeIDPrefix) ? 1 : 0) == 1",message="set exactly one of serviceAccount, spiffeID and spiffeIDPrefix"
type AccessPeer struct {
	// ServiceAccount of this cluster.
	// +optional
	ServiceAccount *ServiceAccountPeer `json:"serviceAccount,omitempty"`
	// SPIFFEID is compared as a whole: spiffe://<trust domain>/<path>. No segment of the path is . or ..
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^spiffe://[a-z0-9._-]{1,255}(/([.]*[a-zA-Z0-9_-][a-zA-Z0-9._-]*|[.]{3,}))+$`
	// +optional
	SPIFFEID string `json:"spiffeID,omitempty"`
	// SPIFFEIDPrefix matches every ID that is it, or goes on with a slash. The trust domain is always
	// compared as a whole. No segment of the path is . or ..
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:Pattern=`^spiffe://[a-z0-9._-]{1,255}(/([.]*[a-zA-Z0-9_-][a-zA-Z0-9._-]*|[.]{3,}))*$`
	// +optional
	SPIFFEIDPrefix string `json:"spiffeIDPrefix,omitempty"`
}

// ServiceAccountPeer names a service account of this cluster.
type ServiceAccountPeer struct {
	// Namespace of the service account. Absent: the policy's own.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the service account.
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Name string `json:"name"`
}

// Projection compiles an AccessPolicy into other layers.
type Projection struct {
	// Network: the network admits to the target only pods that the rules allow, by their addresses, beside
	// what network policies say.
	// +optional
	Network bool `json:"network,omitempty"`
}
