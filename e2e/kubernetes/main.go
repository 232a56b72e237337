package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"ferromesh.dev/e2e/kubernetes/cluster"
)

// programName is what this binary is called when it is not a link named after a component.
const programName = "ferromesh-kubernetes"

// main picks what to be by the name the binary was called by, as a link called `kubectl` has it, or else by the first
// argument. The name and the arguments left are then the arguments of that component alone.
func main() {
	args := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	if _, known := components[args[0]]; !known {
		args = args[1:]
	}
	if len(args) == 0 {
		usage()
		os.Exit(2)
	}
	if args[0] == "cluster" {
		os.Exit(cluster.Main(args[1:]))
	}
	run, known := components[args[0]]
	if !known {
		usage()
		os.Exit(2)
	}
	os.Args = args
	os.Exit(run(args))
}

// usage says which first arguments there are.
func usage() {
	names := make([]string, 0, len(components))
	for name := range components {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: %s cluster up|down|status|load\n       %s %s …\n",
		programName, programName, strings.Join(names, "|"))
}
