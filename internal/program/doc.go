// Package program says what the kernel of one node must hold so that packets get the verdicts of a policy.Model: one
// nftables table as values, which can be compared, printed in nft's own language, and tried on packets without a kernel.
//
// It is pure and deterministic. It must never talk to a kernel, start a program or read a clock, and nothing in it may
// hang on anything but the model and the facts of the node.
package program
