// Package kernel puts a program.Program into the kernel of one network namespace, keeps it there and reads it back: over
// netlink alone, each change in one batch that the kernel takes as a whole or not at all.
//
// It must never decide what a packet may do, start a program, or touch a table that is not program.TableName.
package kernel
