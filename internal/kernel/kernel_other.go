//go:build !linux

package kernel

import (
	"errors"

	"sallyport.dev/sallyport/internal/program"
)

// errElsewhere is what everything here says on another system than Linux.
var errElsewhere = errors.New("policies are enforced on Linux only: this program can predict and explain here, not enforce")

// Table is of use on Linux only.
type Table struct{}

// Change is what Apply did.
type Change struct {
	Everything bool
	Words      string
	Instead    error
}

// Open fails.
func Open(int, Features) (*Table, error) { return nil, errElsewhere }

// Close has nothing to do.
func (*Table) Close() error { return nil }

// Apply fails.
func (*Table) Apply(*program.Program) (Change, error) { return Change{}, errElsewhere }

// Change fails.
func (*Table) Change(*program.Program, *program.Delta) (Change, error) { return Change{}, errElsewhere }

// Heal fails.
func (*Table) Heal(bool) ([]string, error) { return nil, errElsewhere }

// There fails.
func There(int) (bool, error) { return false, errElsewhere }

// Read fails.
func Read(int) (*program.Program, []string, error) { return nil, nil, errElsewhere }

// Uninstall fails.
func Uninstall(int) (bool, error) { return false, errElsewhere }

// SelfTest fails.
func SelfTest() (Features, error) { return Features{}, errElsewhere }
