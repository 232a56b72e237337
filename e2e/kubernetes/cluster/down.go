package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// down stops the cluster and takes away all that it made, but for containerd's images and the logs. It works from any
// state: whatever is not there is passed over, and one thing that fails does not keep the rest from being tried.
func (l layout) down() error {
	var problems []error
	note := func(err error) { problems = append(problems, err) }

	// The state is thrown away, so nobody is asked to end in order; the API server alone would take a minute for it.
	// containerd lives on: it is needed to remove the containers.
	for _, p := range l.allRecorded() {
		if p.Name != containerd {
			p.signal(syscall.SIGKILL)
		}
	}
	note(killCgroup(podsCgroup))
	if p, found := l.recorded(containerd); found {
		note(l.removeContainers(p))
		note(p.stop(5 * time.Second))
	}
	// What nobody recorded: the shims, and a component that was started just before its starter was killed.
	note(killCgroup(networkName))
	note(unmountBelow(l.runtime("containerd"), l.runtime("opt"), l.data("containerd"), l.data("kubelet")))
	note(removeNetwork())
	note(removeCgroups())
	note(l.removeTraces())
	if err := errors.Join(problems...); err != nil {
		// The records stay, so that another attempt knows what to stop.
		return fmt.Errorf("the cluster is not stopped entirely: %w", err)
	}
	return l.removeFiles()
}

// removeContainers empties containerd, so that its next start finds no containers of pods that are long gone. A containerd
// that is dead or does not answer is left alone: the kubelet's garbage collection then does it after the next start.
func (l layout) removeContainers(p process) error {
	ctr := findProgram("ctr", programFolders)
	if ctr == "" || !p.alive() {
		return nil
	}
	c := l.containers(tools{ctr: ctr})
	done := make(chan error, 1)
	go func() { done <- c.removeAll() }()
	select {
	case err := <-done:
		if err != nil {
			say("containers remain in containerd's records: %v", err)
		}
	case <-time.After(20 * time.Second):
		say("containerd does not answer")
	}
	return nil
}

// removeFiles removes the files of this life of the cluster.
func (l layout) removeFiles() error {
	var problems []error
	for _, path := range append(l.passing(), l.data("pki.unfinished"), l.data("log", "pods")) {
		problems = append(problems, os.RemoveAll(path))
	}
	// containerd keeps its notes on pods beside its images.
	problems = append(problems, os.RemoveAll(l.data("containerd", "io.containerd.grpc.v1.cri")))
	logs, err := filepath.Glob(l.log("*"))
	problems = append(problems, err)
	for _, log := range logs {
		// The last life's logs are kept, an older one's are not.
		problems = append(problems, os.Rename(log, log+".old"))
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	return os.RemoveAll(l.run)
}

// leftovers names what of a cluster is still on the machine; after down there must be nothing.
func (l layout) leftovers() []string {
	var found []string
	if pids, err := members(networkName); err == nil && len(pids) > 0 {
		found = append(found, fmt.Sprintf("processes %v", pids))
	}
	if networkExists() {
		found = append(found, "the network namespace "+networkName)
	}
	if exec.Command("ip", "link", "show", machineLink).Run() == nil {
		found = append(found, "the link "+machineLink)
	}
	if points, err := mountsBelow([]string{l.run, l.data()}); err == nil && len(points) > 0 {
		found = append(found, fmt.Sprintf("mounts %v", points))
	}
	if all, err := hierarchies(); err == nil {
		for _, h := range all {
			for _, path := range h.tree(networkName) {
				found = append(found, "the cgroup "+path)
			}
		}
	}
	for _, path := range append(l.passing(), l.run) {
		if _, err := os.Stat(path); err == nil {
			found = append(found, path)
		}
	}
	return found
}
