// Package agent keeps the kernel of one node at what the policies say: it follows a source of the cluster and the facts of the
// node, applies what changes, undoes what others change, and cuts connections that are no longer allowed.
//
// It must never decide what a policy means (policy and program do), and never open what it does not understand: while anything is
// missing or wrong, what was programmed last stays in force, and new pods stay closed.
package agent
