package cluster

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The whole life of a real cluster. It is run by hand and by CI, as it takes the machine's one place for a cluster:
//
//	FERROMESH_CLUSTER_TEST=1 go test -trimpath -run Lifecycle ./cluster
func TestLifecycleLeavesTheMachineAsItWas(t *testing.T) {
	if os.Getenv("FERROMESH_CLUSTER_TEST") == "" {
		t.Skip("starts and stops the machine's cluster; set FERROMESH_CLUSTER_TEST=1")
	}
	l, err := layoutFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	if left := l.leftovers(); len(left) > 0 {
		t.Fatalf("stop the cluster first; there is: %s", strings.Join(left, ", "))
	}
	before := machine(t)
	t.Cleanup(func() { cluster(t, l, "down") })

	mustSucceed(t, l, "up")
	if s := statusOf(t, l); !s.Healthy || s.Node == nil || !s.Node.Ready {
		t.Fatalf("not healthy: %+v", s)
	}
	begin := time.Now()
	mustSucceed(t, l, "up")
	if took := time.Since(begin); took > time.Second {
		t.Errorf("finding a healthy cluster took %v", took)
	}

	for _, name := range []string{"kubelet", "etcd", containerd} {
		p, found := l.recorded(name)
		if !found {
			t.Fatalf("no record of %s", name)
		}
		p.signal(syscall.SIGKILL)
		if !poll(5*time.Second, func() bool { return !p.alive() }) {
			t.Fatalf("%s does not end", name)
		}
		if statusOf(t, l).Healthy {
			t.Errorf("counts as healthy without %s", name)
		}
		mustSucceed(t, l, "up")
		// The kubelet notices only after a while that the runtime was away, and then takes its pods as not ready for a moment.
		var s status
		if !poll(30*time.Second, func() bool { s = statusOf(t, l); return s.Healthy }) {
			t.Errorf("not mended without %s: %v", name, s.Problems)
		}
	}

	mustSucceed(t, l, "down")
	sameMachine(t, before, l)
	mustSucceed(t, l, "down")
}

// A start may be cut off at any point, and stopping must still clean up.
func TestLifecycleInterruptedStartLeavesNothingAfterDown(t *testing.T) {
	if os.Getenv("FERROMESH_CLUSTER_TEST") == "" {
		t.Skip("starts and stops the machine's cluster; set FERROMESH_CLUSTER_TEST=1")
	}
	l, err := layoutFromEnvironment()
	if err != nil {
		t.Fatal(err)
	}
	before := machine(t)
	t.Cleanup(func() { cluster(t, l, "down") })
	reached := func(parts ...string) func() bool {
		return func() bool {
			_, err := os.Stat(filepath.Join(parts...))
			return err == nil
		}
	}
	for what, point := range map[string]func() bool{
		"the network":    networkExists,
		"etcd":           reached(l.processRecord("etcd")),
		"the API server": reached(l.processRecord("kube-apiserver")),
		"the kubelet":    reached(l.processRecord("kubelet")),
		"the first pod":  func() bool { pids, _ := members(podsCgroup); return len(pids) > 0 },
	} {
		up := exec.Command(l.binary("ferromesh-kubernetes"), "cluster", "up")
		if err := up.Start(); err != nil {
			t.Fatal(err)
		}
		if !poll(60*time.Second, point) {
			t.Fatalf("the start never reached %s", what)
		}
		if err := up.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = up.Wait()
		mustSucceed(t, l, "down")
		sameMachine(t, before, l)
	}
}

// cluster runs a command as a person would.
func cluster(t *testing.T, l layout, args ...string) (string, error) {
	t.Helper()
	command := exec.Command(l.binary("ferromesh-kubernetes"), append([]string{"cluster"}, args...)...)
	output, err := command.Output()
	return string(output), err
}

func mustSucceed(t *testing.T, l layout, args ...string) {
	t.Helper()
	command := exec.Command(l.binary("ferromesh-kubernetes"), append([]string{"cluster"}, args...)...)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("cluster %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}

// statusOf reads the status, and checks that the exit code agrees with it.
func statusOf(t *testing.T, l layout) status {
	t.Helper()
	output, err := cluster(t, l, "status", "-o", "json")
	var s status
	if problem := json.Unmarshal([]byte(output), &s); problem != nil {
		t.Fatalf("%v in %s", problem, output)
	}
	if s.Healthy != (err == nil) {
		t.Errorf("healthy is %v, but the exit code says %v", s.Healthy, err)
	}
	return s
}

// machine lists everything of the machine that a cluster could leave something in.
func machine(t *testing.T) []string {
	t.Helper()
	var facts []string
	links, err := exec.Command("ip", "-o", "-br", "address").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(links), "\n") {
		facts = append(facts, "link "+strings.Join(strings.Fields(line), " "))
	}
	mounts, err := mountsBelow([]string{""})
	if err != nil {
		t.Fatal(err)
	}
	for _, point := range mounts {
		facts = append(facts, "mount "+point)
	}
	for _, pattern := range []string{"/run/netns/*", "/var/run/netns/*", "/run/ferromesh*", "/sys/fs/cgroup/*/kubepods*"} {
		found, _ := filepath.Glob(pattern)
		facts = append(facts, found...)
	}
	for _, folder := range foreignFolders {
		if _, err := os.Stat(folder); err == nil {
			facts = append(facts, folder)
		}
	}
	for _, name := range foreignSettings {
		value, _ := os.ReadFile("/proc/sys/" + name)
		facts = append(facts, name+"="+strings.TrimSpace(string(value)))
	}
	sort.Strings(facts)
	return facts
}

func sameMachine(t *testing.T, before []string, l layout) {
	t.Helper()
	if left := l.leftovers(); len(left) > 0 {
		t.Errorf("left: %s", strings.Join(left, ", "))
	}
	// The kernel takes the links of a removed namespace away in its own time.
	var after string
	want := strings.Join(before, "\n")
	if !poll(10*time.Second, func() bool { after = strings.Join(machine(t), "\n"); return after == want }) {
		t.Errorf("the machine was\n%s\n\nand is now\n%s", want, after)
	}
}
