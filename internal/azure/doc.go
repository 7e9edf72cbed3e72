// Package azure turns what Azure says of a SQL server, as output of az or as an ARM template, into the spec of an
// ExternalService and notes about what it could not tell.
//
// It is pure: bytes in, facts out. It must never read a file, ask Azure or fetch a linked template, and must never
// make up what its input does not say: what it does not understand in a field that it reads is an error.
package azure
