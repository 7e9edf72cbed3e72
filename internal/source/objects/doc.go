// Package objects turns Kubernetes objects, given as JSON one by one, into a cluster.Snapshot. It
// is the one place that decodes, checks, defaults and converts them, so that a file and a live
// cluster are read by the same rules (S1 to S5, S32, S40).
//
// It must never open a file, talk to a server or decide what a policy does; where its input comes
// from is the business of the packages source/manifest and source/kube.
package objects
