// Package generate is a module of its own, so that the program that makes the CRDs and the deep copies of
// api/v1alpha1 is no dependency of the product. It holds nothing but a test that the committed files are current.
package generate
