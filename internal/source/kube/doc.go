// Package kube reads a live cluster: it lists what source/objects reads of it, in pages and by GET
// requests only, and names what it was not allowed to see (S2, S4, S26).
//
// It must never write to a server, ask for a Secret or a ConfigMap, follow a redirect with credentials,
// take half a list for the whole, or decode an object itself beyond what tells its kind.
package kube
