// Package directory watches a directory of manifests and has it read again when something in it changes.
//
// It must never read a manifest itself, and never give out what was written only in part: what was read last counts until what is
// there now can be read.
package directory
