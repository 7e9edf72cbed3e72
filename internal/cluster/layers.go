package cluster

import "sallyport.dev/sallyport/api/v1alpha1"

// WorkloadIdentity is a sallyport.dev WorkloadIdentity as written, with what is absent filled in.
type WorkloadIdentity struct {
	Origin          Origin
	Namespace, Name string
	Spec            *v1alpha1.WorkloadIdentitySpec
	// NotUnderstood lists what could not be read of an object that came from a server (L4). Empty for files.
	NotUnderstood []string
}

// AccessPolicy is a sallyport.dev AccessPolicy as written, with what is absent filled in.
type AccessPolicy struct {
	Origin          Origin
	Namespace, Name string
	Spec            *v1alpha1.AccessPolicySpec
	NotUnderstood   []string
}

// String gives ns/name.
func (p *AccessPolicy) String() string { return p.Namespace + "/" + p.Name }

// ExternalService is a sallyport.dev ExternalService, or without namespace a ClusterExternalService, as written,
// with what is absent filled in.
type ExternalService struct {
	Origin          Origin
	Namespace, Name string
	Spec            *v1alpha1.ExternalServiceSpec
	NotUnderstood   []string
}

// Kind is the kind as full lower-case singular.
func (x *ExternalService) Kind() string {
	if x.Namespace == "" {
		return "clusterexternalservice"
	}
	return "externalservice"
}

// String gives ns/externalservice/name or clusterexternalservice/name.
func (x *ExternalService) String() string {
	if x.Namespace == "" {
		return x.Kind() + "/" + x.Name
	}
	return x.Namespace + "/" + x.Kind() + "/" + x.Name
}
