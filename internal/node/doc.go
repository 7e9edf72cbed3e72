// Package node finds the facts of the node that the program runs on: by which interfaces it reaches others, and which interface
// leads to each pod here.
//
// It must never change an interface, a route or a setting of the kernel, start a program, or decide what a packet may do.
package node
