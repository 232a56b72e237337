package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// traces is what components leave on the machine outside of the cluster's own folders, at places that no option moves. It
// is written down before the first of them starts, so that stopping the cluster can put things back.
type traces struct {
	// Boot tells one start of the machine from another: folders outlive it, settings don't.
	Boot string `json:"boot"`
	// Folders are those that were not there before and are removed again.
	Folders []string `json:"folders"`
	// Settings maps files below /proc/sys, which the kubelet writes for the whole machine, to what was in them.
	Settings map[string]string `json:"settings"`
}

// foreignFolders: the kubelet's device plugins and links to logs, libcni's results, containerd's shim sockets, and where
// `ip netns` mounts namespaces.
var foreignFolders = []string{"/var/lib/kubelet", "/var/log/containers", "/var/lib/cni", "/run/containerd", networkFolder}

var foreignSettings = []string{
	"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
	"kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
}

func (l layout) tracesFile() string { return l.data("traces.json") }

func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}

// noteTraces writes down how the machine is, unless that was done before this life of the cluster began.
func (l layout) noteTraces() error {
	if _, err := os.Stat(l.tracesFile()); err == nil {
		return nil
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	noted := traces{Boot: boot, Settings: map[string]string{}}
	for _, folder := range foreignFolders {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
			noted.Folders = append(noted.Folders, folder)
		}
	}
	for _, name := range foreignSettings {
		value, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			return err
		}
		noted.Settings[name] = strings.TrimSpace(string(value))
	}
	text, err := json.MarshalIndent(noted, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(l.tracesFile(), text, 0o600)
}

// notedTraces reads what was noted. It is nothing when no cluster was started, and has no settings when the machine has
// been started anew since.
func (l layout) notedTraces() (traces, error) {
	text, err := os.ReadFile(l.tracesFile())
	if errors.Is(err, fs.ErrNotExist) {
		return traces{}, nil
	}
	if err != nil {
		return traces{}, err
	}
	var noted traces
	if err := json.Unmarshal(text, &noted); err != nil {
		return traces{}, fmt.Errorf("%s: %w", l.tracesFile(), err)
	}
	boot, err := bootID()
	if boot != noted.Boot {
		noted.Settings = nil
	}
	return noted, err
}

// removeTraces puts the machine back to what was noted. Nothing of the cluster may run any more.
func (l layout) removeTraces() error {
	noted, err := l.notedTraces()
	if err != nil {
		return err
	}
	var problems []error
	for name, value := range noted.Settings {
		problems = append(problems, os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0o644))
	}
	for _, folder := range noted.Folders {
		if folder == networkFolder && !emptyFolder(folder) {
			// Somebody else keeps namespaces there by now.
			continue
		}
		problems = append(problems, unmountBelow(folder), os.RemoveAll(folder))
	}
	// Where the folders stay because the machine has used them before, at least our own files in them go.
	problems = append(problems, l.removeLogLinks(), l.removeShimSockets())
	return errors.Join(problems...)
}

func emptyFolder(path string) bool {
	entries, err := os.ReadDir(path)
	return err == nil && len(entries) == 0
}

// removeLogLinks removes the kubelet's links to the logs of our pods.
func (l layout) removeLogLinks() error {
	links, err := filepath.Glob("/var/log/containers/*.log")
	if err != nil {
		return err
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && strings.HasPrefix(target, l.data("log", "pods")+"/") {
			if err := os.Remove(link); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeShimSockets removes the sockets of shims that were killed. Each shim's folder has a file with its address.
func (l layout) removeShimSockets() error {
	files, err := filepath.Glob(l.runtime("containerd", "io.containerd.runtime.v2.task", "*", "*", "address"))
	if err != nil {
		return err
	}
	for _, file := range files {
		address, err := os.ReadFile(file)
		socket, found := strings.CutPrefix(strings.TrimSpace(string(address)), "unix://")
		if err != nil || !found {
			continue
		}
		if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
