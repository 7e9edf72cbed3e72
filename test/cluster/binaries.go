package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// version is the Kubernetes version in tools/go.mod, which the server says of itself.
const version = "v1.35.4"

// tools are the programs that are built, by the name they get.
var tools = map[string]string{
	"etcd":           "go.etcd.io/etcd/server/v3",
	"kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
}

func buildFlags() []string {
	const at = "k8s.io/component-base/version"
	return []string{"build", "-p", "2", "-buildvcs=false", "-trimpath",
		"-ldflags=-s -w -X " + at + ".gitVersion=" + version + " -X " + at + ".gitMajor=1 -X " + at + ".gitMinor=35"}
}

// binaries gives the folder with the tools. They are built once for each state of their go.mod, go.sum and
// flags; a folder that is not complete is built again, so that the cache is never required.
func binaries() (string, error) {
	key, err := cacheKey()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "sallyport-test-cluster", key)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	for name, pkg := range tools {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			continue
		}
		fmt.Fprintf(os.Stderr, "building %s (minutes, the first time)\n", name)
		if err := build("tools", path, pkg); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// build compiles a package and moves the result into place when it is whole.
func build(module, path, pkg string) error {
	part := fmt.Sprintf("%s.%d", path, os.Getpid())
	c := exec.Command("go", append(buildFlags(), "-o", part, pkg)...)
	c.Dir, c.Stderr = module, os.Stderr
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if err := c.Run(); err != nil {
		return fmt.Errorf("go build %s: %w", pkg, err)
	}
	return os.Rename(part, path)
}

func cacheKey() (string, error) {
	h := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		data, err := os.ReadFile(filepath.Join("tools", name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s %d\n%s", name, len(data), data)
	}
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH, buildFlags())
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
