package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"sallyport": main, "kubectl-sallyport": main})
}

// TestScript runs the transcripts in testdata/script. Each begins with the manifests of
// testdata/world in the folder m, and those of testdata/layers, where every layer speaks, in layers. With -update the texts they show are written anew; the exit
// statuses in them never are.
func TestScript(t *testing.T) {
	world, err := filepath.Abs("testdata/world")
	if err != nil {
		t.Fatal(err)
	}
	layered, err := filepath.Abs("testdata/layers")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                "testdata/script",
		UpdateScripts:      *update,
		RequireUniqueNames: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ROOT", root)
			return errors.Join(os.CopyFS(filepath.Join(e.WorkDir, "m"), os.DirFS(world)), os.CopyFS(filepath.Join(e.WorkDir, "layers"), os.DirFS(layered)))
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    statusCommand,
			"suggested": suggestedCommand,
			"hook":      hookCommand,
		},
	})
}

// statusCommand is `status N PROGRAM ARGS…`: it runs the program, demands the exit status, and adds
// the command and what it printed to $WORK/session. What every command line promises is checked each
// time: a message and nothing else for status 1, an answer and nothing else for the others.
func statusCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	switch err := ts.Exec(args[1], args[2:]...); {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	stdout, stderr := ts.ReadFile("stdout"), ts.ReadFile("stderr")
	if got != want {
		ts.Fatalf("exit status %d, want %d\n%s%s", got, want, stdout, stderr)
	}
	ts.Check(promised(got, stdout, stderr))
	session, err := os.OpenFile(filepath.Join(ts.Getenv("WORK"), "session"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	ts.Check(err)
	_, err = fmt.Fprintf(session, "$ %s\n%s%s[%d]\n\n", shellLine(args[1:]), stdout, stderr, got)
	ts.Check(errors.Join(err, session.Close()))
}

func promised(status int, stdout, stderr string) error {
	if status != 1 {
		if stderr != "" || stdout == "" {
			return fmt.Errorf("status %d with %q on stderr and %d bytes on stdout", status, stderr, len(stdout))
		}
		return nil
	}
	if stdout != "" {
		return fmt.Errorf("status 1, and on stdout: %s", stdout)
	}
	for _, line := range strings.Split(strings.TrimSuffix(stderr, "\n"), "\n") {
		if text, ok := strings.CutPrefix(line, "sallyport: "); !ok || text == "" {
			return fmt.Errorf("a message that is not of the form: %q", line)
		}
	}
	return nil
}

// shellLine writes a command line as a person would type it.
func shellLine(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsAny(a, " *'[]$\n") {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// suggestedCommand is `suggested FILE`: it writes the policies that the last command suggested to
// the file, as a person would copy them.
func suggestedCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: suggested FILE")
	}
	_, rest, found := strings.Cut(ts.ReadFile("stdout"), "\n---\n")
	if !found {
		ts.Fatalf("nothing was suggested")
	}
	text, _, _ := strings.Cut(rest, "\n\n  ") // what follows the policies is indented
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text+"\n"), 0o644))
}

// hookCommand is `hook ID`: it runs a hook of .pre-commit-hooks.yaml as pre-commit does.
func hookCommand(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: hook ID")
	}
	data, err := os.ReadFile(filepath.Join(ts.Getenv("ROOT"), ".pre-commit-hooks.yaml"))
	ts.Check(err)
	var hooks []struct {
		ID, Entry string
		Args      []string
	}
	ts.Check(yaml.Unmarshal(data, &hooks))
	for _, h := range hooks {
		if h.ID != args[0] {
			continue
		}
		err := ts.Exec("bash", "-c", h.Entry+" "+shellLine(h.Args))
		if (err != nil) != neg {
			ts.Fatalf("hook %s: %v", h.ID, err)
		}
		return
	}
	ts.Fatalf("no hook %s", args[0])
}
