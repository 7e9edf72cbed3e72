// Package graphviz lays out pictures with Graphviz 12.1.2, as WebAssembly.
//
// graphviz.wasm is that of github.com/goccy/go-graphviz v0.2.10, byte for byte. That module's own
// bindings are not used: on import, in every command, they compile it, and keep native code in a
// directory of predictable name under /tmp, from which they load it again, whoever put it there; and
// they give Graphviz the whole file system. Here it runs when a picture is asked for, in memory only.
//
// It must never give Graphviz files, the network or the environment.
package graphviz

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

//go:embed graphviz.wasm
var program []byte

// maxPages bounds Graphviz's memory, in pages of 64 KiB: 1 GiB.
const maxPages = 16384

// SVG lays out a graph in the DOT language.
func SVG(dot string) (svg string, err error) {
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(maxPages))
	defer func() { err = errors.Join(err, runtime.Close(ctx)) }()
	m, err := instantiate(ctx, runtime)
	if err != nil {
		return "", fmt.Errorf("start Graphviz: %w", err)
	}
	c := &caller{ctx: ctx, m: m}
	svg = c.render(dot)
	if c.err != nil {
		return "", fmt.Errorf("lay out the picture: %w (-o dot prints what any Graphviz can lay out)", c.err)
	}
	return svg, nil
}

// instantiate starts the program without files, arguments, environment and output.
func instantiate(ctx context.Context, r wazero.Runtime) (api.Module, error) {
	compiled, err := r.CompileModule(ctx, program)
	if err != nil {
		return nil, err
	}
	env := r.NewHostModuleBuilder("env")
	for _, f := range compiled.ImportedFunctions() {
		if module, name, _ := f.Import(); module == "env" {
			env.NewFunctionBuilder().WithGoFunction(noCallback(name), f.ParamTypes(), f.ResultTypes()).Export(name)
		}
	}
	if _, err := env.Instantiate(ctx); err != nil {
		return nil, err
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, err
	}
	return r.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithStdout(io.Discard).WithStderr(io.Discard))
}

// noCallback stands for plugins written in Go, of which there are none; the runtime turns the panic into
// an error of the call.
func noCallback(name string) api.GoFunc {
	return func(context.Context, []uint64) { panic("unexpected call of " + name) }
}

// caller calls functions of Graphviz's C API; after the first error it does nothing.
type caller struct {
	ctx context.Context
	m   api.Module
	err error
}

func (c *caller) render(dot string) string {
	gvc := c.context()
	graph := c.call("agmemread", c.text(dot))
	if c.err == nil && graph == 0 {
		c.err = errors.New("the graph cannot be read")
	}
	c.check("gvLayout", gvc, graph, c.text("dot"))
	result := c.call("malloc", 8) // where to put address and length
	c.check("gvRenderData", gvc, graph, c.text("svg"), result, result+4)
	data, ok := c.m.Memory().Read(c.word(result), c.word(result+4))
	if !ok && c.err == nil {
		c.err = errors.New("the result lies outside the memory")
	}
	return string(data)
}

// context makes a GVC_t that knows the layouts and formats linked into the program.
func (c *caller) context() uint64 {
	gvc := c.call("gvContext")
	at := c.call("malloc", 4)
	c.call("wasm_bridge_SymList_default", at)
	list := uint64(c.word(at)) // its length, and where 8 bytes for each element begin with the element's address
	first := uint64(c.word(list + 4))
	for i := range uint64(c.word(list)) {
		pair := uint64(c.word(first + 8*i)) // name and library
		c.call("gvAddLibrary", gvc, uint64(c.word(pair+4)))
	}
	return gvc
}

// check calls a function that gives 0 if all went well.
func (c *caller) check(name string, args ...uint64) {
	if code := c.call(name, args...); code != 0 && c.err == nil {
		c.err = fmt.Errorf("%s failed (%d)", name, int32(code))
	}
}

func (c *caller) call(name string, args ...uint64) uint64 {
	if c.err != nil {
		return 0
	}
	results, err := c.m.ExportedFunction(name).Call(c.ctx, args...)
	if err != nil {
		c.err = fmt.Errorf("%s: %w", name, err)
	}
	if err != nil || len(results) == 0 {
		return 0
	}
	return results[0]
}

// text puts a string into the program's memory.
func (c *caller) text(s string) uint64 {
	at := c.call("malloc", uint64(len(s))+1)
	if c.err == nil && (at == 0 || !c.m.Memory().Write(uint32(at), append([]byte(s), 0))) {
		c.err = errors.New("out of memory")
	}
	return at
}

// word reads 32 bits of the program's memory.
func (c *caller) word(at uint64) uint32 {
	v, ok := c.m.Memory().ReadUint32Le(uint32(at))
	if !ok && c.err == nil {
		c.err = errors.New("an address lies outside the memory")
	}
	return v
}
