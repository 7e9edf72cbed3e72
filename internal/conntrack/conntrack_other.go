//go:build !linux

package conntrack

import "errors"

// errElsewhere is what everything here says on another system than Linux.
var errElsewhere = errors.New("connections are cut on Linux only: this program can predict and explain here, not enforce")

type entry struct{}

// Each fails.
func Each(int, func(*Connection) error) error { return errElsewhere }

// Socket is of use on Linux only.
type Socket struct{}

// Open fails.
func Open(int) (*Socket, error) { return nil, errElsewhere }

// Revoke fails.
func (*Socket) Revoke(*Connection) (Outcome, error) { return 0, errElsewhere }

// Restore fails.
func (*Socket) Restore(*Connection) (Outcome, error) { return 0, errElsewhere }

// Forget fails.
func (*Socket) Forget(*Connection) error { return errElsewhere }

// Close has nothing to do.
func (*Socket) Close() error { return nil }
