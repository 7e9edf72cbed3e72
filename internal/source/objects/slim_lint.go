package objects

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// The objects below decide nothing about traffic. They say which connections somebody counts on, so
// that lint can tell when policies cut them.

// webhooksObject is a ValidatingWebhookConfiguration or a MutatingWebhookConfiguration.
type webhooksObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	Webhooks []struct {
		ClientConfig clientConfig `json:"clientConfig,omitzero"`
	} `json:"webhooks,omitempty"`
}

type clientConfig struct {
	Service *serviceRef `json:"service,omitempty"`
}

type serviceRef struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Port      *int32 `json:"port,omitempty"`
}

type apiServiceObject struct {
	typeMeta
	Metadata nameMeta     `json:"metadata,omitzero"`
	Spec     clientConfig `json:"spec,omitzero"`
}

// definitionObject is a CustomResourceDefinition.
type definitionObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	Spec     struct {
		Conversion *struct {
			Webhook *struct {
				ClientConfig clientConfig `json:"clientConfig,omitzero"`
			} `json:"webhook,omitempty"`
		} `json:"conversion,omitempty"`
	} `json:"spec,omitzero"`
}

// bindingObject is a RoleBinding or a ClusterRoleBinding.
type bindingObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	RoleRef  struct {
		Name string `json:"name,omitempty"`
	} `json:"roleRef,omitzero"`
	Subjects []bindingSubject `json:"subjects,omitempty"`
}

type bindingSubject struct {
	Kind      string `json:"kind,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
}

// monitorObject is a ServiceMonitor or a PodMonitor.
type monitorObject struct {
	typeMeta
	Metadata nameMeta `json:"metadata,omitzero"`
	Spec     struct {
		Selector          metav1.LabelSelector `json:"selector,omitzero"`
		NamespaceSelector struct {
			Any        bool     `json:"any,omitempty"`
			MatchNames []string `json:"matchNames,omitempty"`
		} `json:"namespaceSelector,omitzero"`
		Endpoints           []monitorEndpoint `json:"endpoints,omitempty"`
		PodMetricsEndpoints []monitorEndpoint `json:"podMetricsEndpoints,omitempty"`
	} `json:"spec,omitzero"`
}

type monitorEndpoint struct {
	Port       string              `json:"port,omitempty"`
	PortNumber int32               `json:"portNumber,omitempty"`
	TargetPort *intstr.IntOrString `json:"targetPort,omitempty"`
}

func (o *webhooksObject) names() *nameMeta   { return &o.Metadata }
func (o *apiServiceObject) names() *nameMeta { return &o.Metadata }
func (o *definitionObject) names() *nameMeta { return &o.Metadata }
func (o *bindingObject) names() *nameMeta    { return &o.Metadata }
func (o *monitorObject) names() *nameMeta    { return &o.Metadata }

// idle tells of an object that it says nothing that is read, such as one of the hundreds of
// CustomResourceDefinitions without a webhook.
func idle(obj slim) bool {
	switch o := obj.(type) {
	case *webhooksObject, *apiServiceObject, *definitionObject:
		return len(calledServices(o)) == 0
	case *bindingObject:
		return len(o.Subjects) == 0
	}
	return false
}

// calledServices lists the Services that an object makes API servers call.
func calledServices(obj slim) []*serviceRef {
	var out []*serviceRef
	add := func(c *clientConfig) {
		if c.Service != nil && c.Service.Name != "" {
			out = append(out, c.Service)
		}
	}
	switch o := obj.(type) {
	case *webhooksObject:
		for i := range o.Webhooks {
			add(&o.Webhooks[i].ClientConfig)
		}
	case *apiServiceObject:
		add(&o.Spec)
	case *definitionObject:
		if c := o.Spec.Conversion; c != nil && c.Webhook != nil {
			add(&c.Webhook.ClientConfig)
		}
	}
	return out
}

// trim keeps the service accounts to which a role gives rights.
func (o *bindingObject) trim() {
	var kept []bindingSubject
	for _, s := range o.Subjects {
		if s.Kind == "ServiceAccount" && s.Name != "" {
			kept = append(kept, s)
		}
	}
	o.Subjects = kept
}
