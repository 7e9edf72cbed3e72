package objects

import "k8s.io/apimachinery/pkg/util/intstr"

// The types below hold the fields of an object that the model reads, and nothing else. Decoding
// into them is at once what keeps memory small for a large cluster and what keeps secrets out of a
// saved snapshot: what has no field here cannot be written again (see Prune).

type typeMeta struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
}

type nameMeta struct {
	Name         string            `json:"name,omitempty"`
	GenerateName string            `json:"generateName,omitempty"`
	Namespace    string            `json:"namespace,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
}

type labelMeta struct {
	nameMeta
	Labels map[string]string `json:"labels,omitempty"`
}

type ownedMeta struct {
	labelMeta
	OwnerReferences   []ownerRef `json:"ownerReferences,omitempty"`
	DeletionTimestamp string     `json:"deletionTimestamp,omitempty"`
}

type ownerRef struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Name       string `json:"name,omitempty"`
	Controller bool   `json:"controller,omitempty"`
}

// slim is an object reduced to what the model reads.
type slim interface {
	names() *nameMeta
	setType(typeMeta)
}

func (m *typeMeta) setType(t typeMeta) { *m = t }

type namespaceObject struct {
	typeMeta
	Metadata labelMeta `json:"metadata,omitzero"`
}

type nodeObject struct {
	typeMeta
	Metadata labelMeta `json:"metadata,omitzero"`
	Spec     struct {
		PodCIDR  string   `json:"podCIDR,omitempty"`
		PodCIDRs []string `json:"podCIDRs,omitempty"`
	} `json:"spec,omitzero"`
	Status struct {
		Addresses []nodeAddress `json:"addresses,omitempty"`
	} `json:"status,omitzero"`
}

type nodeAddress struct {
	Type    string `json:"type,omitempty"`
	Address string `json:"address,omitempty"`
}

type podObject struct {
	typeMeta
	Metadata ownedMeta `json:"metadata,omitzero"`
	Spec     podSpec   `json:"spec,omitzero"`
	Status   podStatus `json:"status,omitzero"`
}

type podSpec struct {
	HostNetwork        bool        `json:"hostNetwork,omitempty"`
	NodeName           string      `json:"nodeName,omitempty"`
	ServiceAccountName string      `json:"serviceAccountName,omitempty"`
	ServiceAccount     string      `json:"serviceAccount,omitempty"` // the name's deprecated alias
	Token              *bool       `json:"automountServiceAccountToken,omitempty"`
	Containers         []container `json:"containers,omitempty"`
	InitContainers     []container `json:"initContainers,omitempty"`
	OS                 *struct {
		Name string `json:"name,omitempty"`
	} `json:"os,omitempty"`
	NodeSelector map[string]string `json:"nodeSelector,omitempty"`
	Volumes      []volume          `json:"volumes,omitempty"`
}

type container struct {
	RestartPolicy string          `json:"restartPolicy,omitempty"`
	Ports         []containerPort `json:"ports,omitempty"`
	Liveness      *probe          `json:"livenessProbe,omitempty"`
	Readiness     *probe          `json:"readinessProbe,omitempty"`
	Startup       *probe          `json:"startupProbe,omitempty"`
}

// keepsRunning tells of an init container whether it runs beside the containers.
func (c *container) keepsRunning() bool { return c.RestartPolicy == "Always" }

type containerPort struct {
	Name          string `json:"name,omitempty"`
	ContainerPort int32  `json:"containerPort,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
}

type podStatus struct {
	Phase   string     `json:"phase,omitempty"`
	PodIP   string     `json:"podIP,omitempty"`
	PodIPs  []ipHolder `json:"podIPs,omitempty"`
	HostIP  string     `json:"hostIP,omitempty"`
	HostIPs []ipHolder `json:"hostIPs,omitempty"`
}

type ipHolder struct {
	IP string `json:"ip,omitempty"`
}

// workloadObject serves every kind with a pod template.
type workloadObject struct {
	typeMeta
	Metadata ownedMeta    `json:"metadata,omitzero"`
	Spec     workloadSpec `json:"spec,omitzero"`
}

type workloadSpec struct {
	Replicas    *int32       `json:"replicas,omitempty"`
	Parallelism *int32       `json:"parallelism,omitempty"`
	Template    *podTemplate `json:"template,omitempty"`
	JobTemplate *jobTemplate `json:"jobTemplate,omitempty"`
}

type jobTemplate struct {
	Spec struct {
		Parallelism *int32       `json:"parallelism,omitempty"`
		Template    *podTemplate `json:"template,omitempty"`
	} `json:"spec,omitzero"`
}

type podTemplate struct {
	Metadata struct {
		Labels      map[string]string `json:"labels,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	} `json:"metadata,omitzero"`
	Spec podSpec `json:"spec,omitzero"`
}

type scalerObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	Spec     struct {
		ScaleTargetRef ownerRef `json:"scaleTargetRef"`
	} `json:"spec,omitzero"`
}

type serviceObject struct {
	typeMeta
	Metadata labelMeta   `json:"metadata,omitzero"`
	Spec     serviceSpec `json:"spec,omitzero"`
}

type serviceSpec struct {
	Type                  string            `json:"type,omitempty"`
	Selector              map[string]string `json:"selector,omitempty"`
	ClusterIP             string            `json:"clusterIP,omitempty"`
	ClusterIPs            []string          `json:"clusterIPs,omitempty"`
	Ports                 []servicePort     `json:"ports,omitempty"`
	ExternalName          string            `json:"externalName,omitempty"`
	ExternalTrafficPolicy string            `json:"externalTrafficPolicy,omitempty"`
}

type servicePort struct {
	Name       string              `json:"name,omitempty"`
	Protocol   string              `json:"protocol,omitempty"`
	Port       int32               `json:"port,omitempty"`
	TargetPort *intstr.IntOrString `json:"targetPort,omitempty"`
	NodePort   int32               `json:"nodePort,omitempty"`
}

type sliceObject struct {
	typeMeta
	Metadata    labelMeta       `json:"metadata,omitzero"`
	AddressType string          `json:"addressType,omitempty"`
	Endpoints   []sliceEndpoint `json:"endpoints,omitempty"`
	Ports       []slicePort     `json:"ports,omitempty"`
}

type sliceEndpoint struct {
	Addresses []string `json:"addresses,omitempty"`
	TargetRef ownerRef `json:"targetRef"`
}

type slicePort struct {
	Name     string `json:"name,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Port     *int32 `json:"port,omitempty"`
}

type accountObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	Token    *bool    `json:"automountServiceAccountToken,omitempty"`
}

type ingressObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	Spec     struct {
		IngressClassName string          `json:"ingressClassName,omitempty"`
		DefaultBackend   *ingressBackend `json:"defaultBackend,omitempty"`
		Rules            []ingressRule   `json:"rules,omitempty"`
	} `json:"spec,omitzero"`
}

type ingressRule struct {
	Host string `json:"host,omitempty"`
	HTTP *struct {
		Paths []struct {
			Backend ingressBackend `json:"backend"`
		} `json:"paths,omitempty"`
	} `json:"http,omitempty"`
}

type ingressBackend struct {
	Service *struct {
		Name string `json:"name,omitempty"`
		Port struct {
			Name   string `json:"name,omitempty"`
			Number int32  `json:"number,omitempty"`
		} `json:"port"`
	} `json:"service,omitempty"`
}

type routeObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	Spec     struct {
		ParentRefs []routeRef `json:"parentRefs,omitempty"`
		Hostnames  []string   `json:"hostnames,omitempty"`
		Rules      []struct {
			BackendRefs []routeRef `json:"backendRefs,omitempty"`
		} `json:"rules,omitempty"`
	} `json:"spec,omitzero"`
}

type routeRef struct {
	Group     *string `json:"group,omitempty"`
	Kind      string  `json:"kind,omitempty"`
	Namespace string  `json:"namespace,omitempty"`
	Name      string  `json:"name,omitempty"`
	Port      int32   `json:"port,omitempty"`
}

// foreignObject is a policy of Calico or Cilium; only its scope and directions are read.
type foreignObject struct {
	typeMeta
	Metadata nameMeta      `json:"metadata,omitzero"`
	Spec     *foreignSpec  `json:"spec,omitempty"`
	Specs    []foreignSpec `json:"specs,omitempty"`
}

// foreignSpec keeps how many rules there are, not what they say.
type foreignSpec struct {
	Types       []string   `json:"types,omitempty"`
	Ingress     []struct{} `json:"ingress,omitzero"`
	Egress      []struct{} `json:"egress,omitzero"`
	IngressDeny []struct{} `json:"ingressDeny,omitzero"`
	EgressDeny  []struct{} `json:"egressDeny,omitzero"`
}

// headerObject begins a saved snapshot and says what its objects cannot.
type headerObject struct {
	typeMeta
	Metadata    nameMeta `json:"metadata,omitzero"`
	Revision    string   `json:"revision,omitempty"`
	KubeVersion string   `json:"kubeVersion,omitempty"`
	Plugin      string   `json:"plugin,omitempty"`
	PodCIDRs    []string `json:"podCIDRs,omitempty"`
	TrustDomain string   `json:"trustDomain,omitempty"`
	// PodIdentityAddOn: see cluster.Facts.
	PodIdentityAddOn bool `json:"podIdentityAddOn,omitempty"`
	// Unreadable is what was missing when the snapshot was saved.
	Unreadable        []string `json:"unreadable,omitempty"`
	UnreadableLayers  []string `json:"unreadableLayers,omitempty"`
	UnreadableForeign []string `json:"unreadableForeign,omitempty"` // policies of other engines
	Incomplete        []string `json:"incomplete,omitempty"`        // objects that are no policies
	PoliciesOf        []string `json:"policiesOf,omitempty"`        // namespaces, see Header
	Notes             []string `json:"notes,omitempty"`             // of how the cluster was read
}

func (o *namespaceObject) names() *nameMeta { return &o.Metadata.nameMeta }
func (o *nodeObject) names() *nameMeta      { return &o.Metadata.nameMeta }
func (o *podObject) names() *nameMeta       { return &o.Metadata.nameMeta }
func (o *workloadObject) names() *nameMeta  { return &o.Metadata.nameMeta }
func (o *scalerObject) names() *nameMeta    { return &o.Metadata }
func (o *serviceObject) names() *nameMeta   { return &o.Metadata.nameMeta }
func (o *sliceObject) names() *nameMeta     { return &o.Metadata.nameMeta }
func (o *accountObject) names() *nameMeta   { return &o.Metadata }
func (o *ingressObject) names() *nameMeta   { return &o.Metadata }
func (o *routeObject) names() *nameMeta     { return &o.Metadata }
func (o *foreignObject) names() *nameMeta   { return &o.Metadata }
func (o *headerObject) names() *nameMeta    { return &o.Metadata }
