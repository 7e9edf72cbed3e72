// Package cluster tests Sallyport against a real Kubernetes API server with etcd, started on loopback.
//
// It is a module of its own so that the product's go.mod stays lean; its binaries are built from the module
// tools and cached. It must never need anything of a cluster that it did not start itself.
package cluster
