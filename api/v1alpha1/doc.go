// Package v1alpha1 holds Sallyport's own resources: which identity a workload may obtain, whom a target
// admits by identity, and what is known of services outside the cluster. The files in deploy/crds are
// generated from it (make generate).
//
// Fields are read strictly (docs/layers.md, L2); a rule of validation is written here for API servers and in
// internal/source/objects for files, and test/cluster holds both to the same answers. The package must never
// interpret what it holds.
//
// +kubebuilder:object:generate=true
// +groupName=sallyport.dev
package v1alpha1

// Group and Version name the API of this package's kinds.
const (
	Group   = "sallyport.dev"
	Version = "v1alpha1"
)
