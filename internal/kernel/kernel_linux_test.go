package kernel_test

import (
	"testing"

	"sallyport.dev/sallyport/internal/kernel"
	"sallyport.dev/sallyport/internal/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// features gives what this kernel can. A test may be skipped on a kernel that is older than the minimum, and on no other.
func features(t testing.TB) kernel.Features {
	t.Helper()
	f, err := kernel.SelfTest()
	if err != nil && kernel.OlderThanMinimum() {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}
