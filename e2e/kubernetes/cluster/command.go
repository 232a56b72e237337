package cluster

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

const usage = `usage: cluster up                 start the cluster, or mend it; does nothing if it is healthy
       cluster down               stop it and leave nothing behind
       cluster status [-o json]   show it; the exit code is 0 if it is healthy
       cluster load FILE.tar…     give it the images of docker or OCI archives
`

// Exit codes of Main.
const (
	success = 0
	failure = 1
	misuse  = 2
)

// Main runs the command `cluster` with its arguments and returns the exit code.
func Main(args []string) int {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return misuse
	}
	l, err := layoutFromEnvironment()
	if err != nil {
		return fail(err)
	}
	verb, rest := args[0], args[1:]
	switch {
	case verb == "status":
		return l.showStatus(rest)
	case verb == "load" && len(rest) > 0:
		return fail(l.changing(func() error { return l.loadArchives(rest) }))
	case verb == "up" && len(rest) == 0:
		return fail(l.changing(l.up))
	case verb == "down" && len(rest) == 0:
		return fail(l.changing(l.stop))
	default:
		fmt.Fprint(os.Stderr, usage)
		return misuse
	}
}

// fail reports an error, if it is one, and returns the exit code.
func fail(err error) int {
	if err == nil {
		return success
	}
	say("error: %v", err)
	return failure
}

// changing runs what changes the cluster: as root, and never two at once.
func (l layout) changing(do func() error) error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster on this machine needs root, for namespaces, cgroups and mounts: " +
			"run this as root, or use a cluster that you have (CONTEXT=its-kubectl-context)")
	}
	lock, err := l.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	return do()
}

func (l layout) showStatus(args []string) int {
	flags := flag.NewFlagSet("cluster status", flag.ContinueOnError)
	format := flags.String("o", "text", "how to print it: text or json")
	if flags.Parse(args) != nil || flags.NArg() > 0 || (*format != "text" && *format != "json") {
		fmt.Fprint(os.Stderr, usage)
		return misuse
	}
	s := l.status()
	printing := s.print
	if *format == "json" {
		printing = s.printJSON
	}
	if err := printing(os.Stdout); err != nil {
		return fail(err)
	}
	if !s.Healthy {
		return failure
	}
	return success
}

func (l layout) stop() error {
	if err := l.checkOwner(); err != nil {
		return err
	}
	if len(l.leftovers()) == 0 {
		say("there is no cluster")
		return nil
	}
	if err := l.down(); err != nil {
		return err
	}
	if left := l.leftovers(); len(left) > 0 {
		return fmt.Errorf("stopped, but this is left: %s", strings.Join(left, ", "))
	}
	say("stopped; images and logs are kept in %s", l.data())
	return nil
}

func (l layout) loadArchives(archives []string) error {
	if err := l.checkOwner(); err != nil {
		return err
	}
	if p, found := l.recorded(containerd); !found || !p.alive() {
		return errors.New("there is no cluster to load images into; `make cluster-up` starts one")
	}
	t, err := l.provideTools()
	if err != nil {
		return err
	}
	return l.load(l.containers(t), archives, say)
}
