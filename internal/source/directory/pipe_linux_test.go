package directory

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPipe: what is no file is not opened, where it might wait for ever.
func TestPipe(t *testing.T) {
	p := &place{t: t, path: filepath.Join(t.TempDir(), "d")}
	p.must(os.Mkdir(p.path, 0o755))
	p.must(unix.Mkfifo(p.at("d/pipe.yaml"), 0o644))
	p.write("d/a.yaml", policy("a"))
	p.start()
	p.says("a pipe beside a file", "a")
}
