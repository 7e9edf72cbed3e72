// Package manifest reads Kubernetes manifests: files, directories, standard input and kustomize
// directories, as YAML or JSON of any size. It finds the objects in them and their lines, and hands
// them to the package objects.
//
// It must never open a network connection or start another program, not even where a kustomization
// asks for it, and must never decide what an object means.
package manifest
