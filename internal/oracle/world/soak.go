package world

import (
	"os"
	"testing"
	"time"
)

// Soak is how long a random test goes on: a second with -short, usual otherwise, and the whole of
// SALLYPORT_SOAK divided by share where that is set (make soak).
func Soak(t testing.TB, usual time.Duration, share int) time.Duration {
	t.Helper()
	text := os.Getenv("SALLYPORT_SOAK")
	switch {
	case text != "":
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("SALLYPORT_SOAK: %v", err)
		}
		return d / time.Duration(share)
	case testing.Short():
		return time.Second
	}
	return usual
}
