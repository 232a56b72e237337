package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Everything that the cluster starts lives below one cgroup, networkName: its components in `components`, its pods in
// `kubepods`. The cgroup, not a program's name, then tells what is ours when it is time to stop, also of processes that
// nobody recorded, such as a container's shim.
const (
	componentsCgroup = networkName + "/components"
	podsCgroup       = networkName + "/kubepods"
)

// hierarchy is a mounted tree of cgroups.
type hierarchy struct {
	mount string
	// unified is true for cgroup v2.
	unified bool
}

// parseHierarchies finds the trees in the text of /proc/self/mountinfo. A machine on cgroup v1 has one for each
// controller, and maybe a v2 tree beside them.
func parseHierarchies(mountinfo string) []hierarchy {
	var found []hierarchy
	seen := map[string]bool{}
	for _, line := range strings.Split(mountinfo, "\n") {
		before, after, ok := strings.Cut(line, " - ")
		fields, kind := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(kind) == 0 || seen[fields[4]] {
			continue
		}
		if kind[0] == "cgroup" || kind[0] == "cgroup2" {
			seen[fields[4]] = true
			found = append(found, hierarchy{mount: unescapeMount(fields[4]), unified: kind[0] == "cgroup2"})
		}
	}
	return found
}

func hierarchies() ([]hierarchy, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	found := parseHierarchies(string(mountinfo))
	if len(found) == 0 {
		return nil, errors.New("no cgroups are mounted on this machine; the kubelet needs them (/sys/fs/cgroup)")
	}
	return found, nil
}

// makeCgroups makes the cluster's cgroups in every hierarchy.
func makeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		for _, name := range []string{networkName, componentsCgroup} {
			if err := h.make(name); err != nil {
				return fmt.Errorf("cannot make the cgroup %s in %s: %w", name, h.mount, err)
			}
		}
	}
	return nil
}

func (h hierarchy) make(name string) error {
	path := filepath.Join(h.mount, name)
	parent := filepath.Dir(path)
	if h.unified {
		if err := delegateControllers(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// A new cpuset of v1 is empty and lets no process in until it has the processors and memory nodes of its parent.
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		if h.unified {
			break
		}
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(path, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// delegateControllers lets the children of a v2 cgroup use every controller that it has itself.
func delegateControllers(path string) error {
	controllers, err := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for _, controller := range strings.Fields(string(controllers)) {
		// One by one: a controller that cannot be delegated, as cpu under a realtime process, must not hold up the rest.
		_ = os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
	}
	return nil
}

// joinCgroups makes the children of the calling thread members of componentsCgroup: in v1 by moving the thread itself, in
// v2, where threads cannot move alone, by an attribute of the child. Release is called when the child has started.
func joinCgroups(attributes *syscall.SysProcAttr) (release func(), err error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	release = func() {}
	for _, h := range all {
		path := filepath.Join(h.mount, componentsCgroup)
		if !h.unified {
			if err := os.WriteFile(filepath.Join(path, "tasks"), []byte(strconv.Itoa(unix.Gettid())), 0o644); err != nil {
				return nil, fmt.Errorf("cannot join the cgroup %s: %w", path, err)
			}
			continue
		}
		folder, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		attributes.UseCgroupFD, attributes.CgroupFD = true, int(folder.Fd())
		release = func() { folder.Close() }
	}
	return release, nil
}

// members lists the processes below a cgroup, in whichever hierarchy they are.
func members(name string) ([]int, error) {
	all, err := hierarchies()
	if err != nil {
		return nil, err
	}
	seen := map[int]bool{os.Getpid(): true}
	var found []int
	for _, h := range all {
		for _, path := range h.tree(name) {
			// It may vanish while we look, and a threaded cgroup cannot be read; its parent then names its processes.
			text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
			for _, field := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(field); err == nil && pid > 0 && !seen[pid] {
					seen[pid] = true
					found = append(found, pid)
				}
			}
		}
	}
	return found, nil
}

// tree lists a cgroup and all below it, parents first.
func (h hierarchy) tree(name string) []string {
	var paths []string
	_ = filepath.WalkDir(filepath.Join(h.mount, name), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}

// killCgroup kills every process below a cgroup and returns when none is left.
func killCgroup(name string) error {
	var last []int
	emptied := poll(15*time.Second, func() bool {
		pids, err := members(name)
		if err != nil {
			return false
		}
		last = running(pids)
		for _, pid := range last {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		return len(last) == 0
	})
	if !emptied {
		return fmt.Errorf("processes %v of the cgroup %s do not end", last, name)
	}
	return nil
}

// running leaves out the processes that have ended and only wait for their parent to notice.
func running(pids []int) []int {
	var left []int
	for _, pid := range pids {
		if stat, err := readStat(pid); err == nil && stat.state != 'Z' && stat.state != 'X' {
			left = append(left, pid)
		}
	}
	return left
}

// removeCgroups removes the cluster's cgroups, which must hold no process any more.
func removeCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var problems []error
	for _, h := range all {
		var problem error
		// The kernel takes a moment to let go of a cgroup whose last process has just ended.
		poll(5*time.Second, func() bool {
			problem = nil
			paths := h.tree(networkName)
			for i := len(paths) - 1; i >= 0; i-- {
				if err := syscall.Rmdir(paths[i]); err != nil && !errors.Is(err, fs.ErrNotExist) {
					problem = fmt.Errorf("cannot remove the cgroup %s: %w", paths[i], err)
				}
			}
			return problem == nil
		})
		problems = append(problems, problem)
	}
	return errors.Join(problems...)
}
