// Jobs of Belt in Go: a process handler (docs/HANDLERS.md, "process").
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

type job struct {
	Op, ID, Type string
	Payload      json.RawMessage // to be unmarshalled into what the type calls for
}

// The work. What it returns is the result.
func handle(j job) (any, error) {
	if strings.HasSuffix(j.Type, ".fail") {
		return nil, fmt.Errorf("asked to fail: %s", j.Payload)
	}
	return j.Payload, nil
}

func run(j job) (answer map[string]any) {
	fail := func(e any) map[string]any {
		return map[string]any{"op": "fail", "id": j.ID,
			"error": map[string]string{"type": fmt.Sprintf("%T", e), "message": fmt.Sprint(e)}}
	}
	defer func() {
		if e := recover(); e != nil {
			answer = fail(e)
		}
	}()
	result, err := handle(j)
	if err != nil {
		return fail(err)
	}
	return map[string]any{"op": "done", "id": j.ID, "result": result}
}

func main() {
	out := json.NewEncoder(os.Stdout) // one write a line
	out.Encode(map[string]string{"op": "ready"})
	in := bufio.NewReader(os.Stdin) // a Scanner would stop at 64 KiB
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return // the end of stdin
		}
		var j job
		if json.Unmarshal(line, &j) != nil || j.Op != "job" {
			continue // hello, drain, and a cancel that came too late
		}
		if err := out.Encode(run(j)); err != nil {
			out.Encode(map[string]any{"op": "fail", "id": j.ID, "error": err.Error()})
		}
	}
}
