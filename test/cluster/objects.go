package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// resource is where a kind of object is created.
type resource struct {
	prefix, plural string
	namespaced     bool
	status         bool // its status is written apart
}

var resources = map[string]resource{
	"v1/Namespace":                       {"/api/v1", "namespaces", false, false},
	"v1/Node":                            {"/api/v1", "nodes", false, true},
	"v1/Pod":                             {"/api/v1", "pods", true, true},
	"v1/Service":                         {"/api/v1", "services", true, false},
	"v1/ServiceAccount":                  {"/api/v1", "serviceaccounts", true, false},
	"apps/v1/Deployment":                 {"/apis/apps/v1", "deployments", true, false},
	"apps/v1/StatefulSet":                {"/apis/apps/v1", "statefulsets", true, false},
	"apps/v1/DaemonSet":                  {"/apis/apps/v1", "daemonsets", true, false},
	"apps/v1/ReplicaSet":                 {"/apis/apps/v1", "replicasets", true, false},
	"batch/v1/Job":                       {"/apis/batch/v1", "jobs", true, false},
	"batch/v1/CronJob":                   {"/apis/batch/v1", "cronjobs", true, false},
	"networking.k8s.io/v1/NetworkPolicy": {"/apis/networking.k8s.io/v1", "networkpolicies", true, false},
	"networking.k8s.io/v1/Ingress":       {"/apis/networking.k8s.io/v1", "ingresses", true, false},
	"discovery.k8s.io/v1/EndpointSlice":  {"/apis/discovery.k8s.io/v1", "endpointslices", true, false},
	"policy.networking.k8s.io/v1alpha2/ClusterNetworkPolicy":       {"/apis/policy.networking.k8s.io/v1alpha2", "clusternetworkpolicies", false, false},
	"policy.networking.k8s.io/v1alpha1/AdminNetworkPolicy":         {"/apis/policy.networking.k8s.io/v1alpha1", "adminnetworkpolicies", false, false},
	"policy.networking.k8s.io/v1alpha1/BaselineAdminNetworkPolicy": {"/apis/policy.networking.k8s.io/v1alpha1", "baselineadminnetworkpolicies", false, false},
	"rbac.authorization.k8s.io/v1/ClusterRole":                     {"/apis/rbac.authorization.k8s.io/v1", "clusterroles", false, false},
	"rbac.authorization.k8s.io/v1/ClusterRoleBinding":              {"/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings", false, false},
	"rbac.authorization.k8s.io/v1/Role":                            {"/apis/rbac.authorization.k8s.io/v1", "roles", true, false},
	"rbac.authorization.k8s.io/v1/RoleBinding":                     {"/apis/rbac.authorization.k8s.io/v1", "rolebindings", true, false},
	"apiextensions.k8s.io/v1/CustomResourceDefinition":             {"/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", false, false},
	"sallyport.dev/v1alpha1/WorkloadIdentity":                      {"/apis/sallyport.dev/v1alpha1", "workloadidentities", true, true},
	"sallyport.dev/v1alpha1/AccessPolicy":                          {"/apis/sallyport.dev/v1alpha1", "accesspolicies", true, true},
	"sallyport.dev/v1alpha1/ExternalService":                       {"/apis/sallyport.dev/v1alpha1", "externalservices", true, true},
	"sallyport.dev/v1alpha1/ClusterExternalService":                {"/apis/sallyport.dev/v1alpha1", "clusterexternalservices", false, true},
}

// object is a manifest.
type object map[string]any

func (o object) text(path ...string) string {
	var v any = map[string]any(o)
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[p]
	}
	s, _ := v.(string)
	return s
}

// errNoResource is a kind that is not created here.
var errNoResource = errors.New("no such resource")

// path gives where an object is, or with its name left out where it is created.
func (o object) path(withName bool) (resource, string, error) {
	r, ok := resources[o.text("apiVersion")+"/"+o.text("kind")]
	if !ok {
		return r, "", fmt.Errorf("%s %s: %w", o.text("apiVersion"), o.text("kind"), errNoResource)
	}
	path := r.prefix
	if r.namespaced {
		path += "/namespaces/" + o.namespace()
	}
	path += "/" + r.plural
	if withName {
		path += "/" + o.text("metadata", "name")
	}
	return r, path, nil
}

func (o object) namespace() string {
	if n := o.text("metadata", "namespace"); n != "" {
		return n
	}
	return "default"
}

// Create makes an object, its status too, and the namespace that it lies in.
func (s *Server) Create(o object) error {
	r, path, err := o.path(false)
	if err != nil {
		return err
	}
	if r.namespaced {
		if err := s.ensureNamespace(o.namespace()); err != nil {
			return err
		}
	}
	data, err := s.request(http.MethodPost, path+"?fieldValidation=Strict", o)
	if err != nil {
		return err
	}
	status, ok := o["status"]
	if !ok || !r.status {
		return nil
	}
	var created object
	if err := json.Unmarshal(data, &created); err != nil {
		return err
	}
	created["status"] = status
	_, err = s.request(http.MethodPut, path+"/"+o.text("metadata", "name")+"/status", created)
	return err
}

func (s *Server) ensureNamespace(name string) error {
	_, err := s.request(http.MethodPost, "/api/v1/namespaces", object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}})
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusConflict {
		return nil
	}
	return err
}

// Delete removes an object at once. A namespace is finalised too, because nothing else here does that.
func (s *Server) Delete(o object) error {
	_, path, err := o.path(true)
	if err != nil {
		return err
	}
	_, err = s.request(http.MethodDelete, path, object{"gracePeriodSeconds": 0})
	if err != nil || !strings.HasPrefix(path, "/api/v1/namespaces/") || o.text("kind") != "Namespace" {
		return err
	}
	o = object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": o.text("metadata", "name")}, "spec": map[string]any{"finalizers": []any{}}}
	_, err = s.request(http.MethodPut, path+"/finalize", o)
	return err
}
