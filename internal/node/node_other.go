//go:build !linux

package node

import (
	"context"
	"errors"
)

// errElsewhere is what everything here says on another system than Linux.
var errElsewhere = errors.New("policies are enforced on Linux only: this program can predict and explain here, not enforce")

// Read fails.
func Read(int) (*Facts, error) { return nil, errElsewhere }

// Watch fails.
func Watch(context.Context, int) (<-chan struct{}, error) { return nil, errElsewhere }
