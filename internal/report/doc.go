// Package report renders answers for people and machines: text, JSON.
//
// It must never decide anything, and must never print a name from the input raw: names, labels and
// paths are hostile (names.Safe).
package report
