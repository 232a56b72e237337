package cluster

import (
	"os"
	"path/filepath"
	"syscall"
)

// The cluster's fixed facts. Only one cluster can run on a machine, so none of them needs to vary.
const (
	// networkName names the network namespace that the node lives in, and the cgroup of everything that belongs to it.
	networkName = "ferromesh"
	// contextName is the context, the cluster and the user of the kubeconfig.
	contextName = "ferromesh"
	// nodeName is what the node calls itself.
	nodeName = "ferromesh"

	// machineLink and nodeLink are the two ends of the wire between the machine and the node.
	machineLink = "ferromesh-host"
	nodeLink    = "eth0"
	// voidLink is the bridge without ports that takes whatever has no better route.
	voidLink = "void"

	machineAddress = "10.211.0.1"
	nodeAddress    = "10.211.0.2"
	wirePrefix     = "/24"
	podRange       = "10.244.0.0/24"
	serviceRange   = "10.96.0.0/16"
	// apiServiceAddress is the first address of serviceRange: the API server gives it to the Service `kubernetes`.
	apiServiceAddress = "10.96.0.1"
	dnsAddress        = "10.96.0.10"
	domain            = "cluster.local"
	apiPort           = "6443"

	// runDirectory holds what must not survive a restart of the machine: process records, sockets, containerd's state.
	// It has one fixed place, so that a second cluster is noticed whatever cache it uses.
	runDirectory = "/run/ferromesh"
)

// layout knows where every file of the cluster is.
type layout struct {
	// cache is the folder that the user may choose: $FERROMESH_CACHE.
	cache string
	// run is runDirectory, and another folder in tests.
	run string
}

// layoutFromEnvironment reads FERROMESH_CACHE, by default ~/.cache/ferromesh.
func layoutFromEnvironment() (layout, error) {
	cache := os.Getenv("FERROMESH_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return layout{}, err
		}
		cache = filepath.Join(base, "ferromesh")
	}
	cache, err := filepath.Abs(cache)
	return layout{cache: cache, run: runDirectory}, err
}

// binary is the place of a program that build.sh made.
func (l layout) binary(name string) string { return filepath.Join(l.cache, "bin", name) }

// data is a path below the folder that outlives the commands.
func (l layout) data(parts ...string) string {
	return filepath.Join(append([]string{l.cache, "cluster"}, parts...)...)
}

// runtime is a path below the run directory.
func (l layout) runtime(parts ...string) string {
	return filepath.Join(append([]string{l.run}, parts...)...)
}

func (l layout) kubeconfig() string              { return l.data("kubeconfig") }
func (l layout) log(name string) string          { return l.data("log", name+".log") }
func (l layout) pki(name string) string          { return l.data("pki", name) }
func (l layout) auditLog() string                { return l.data("audit.log") }
func (l layout) config(name string) string       { return l.runtime("config", name) }
func (l layout) containerdSocket() string        { return l.runtime("containerd.sock") }
func (l layout) componentConfig(n string) string { return l.config(n + ".kubeconfig") }

// passing are the folders below data that hold the state of one life of the cluster. What is not listed, containerd's
// images and the logs, is kept to make the next start quick and the last failure explainable.
func (l layout) passing() []string {
	return []string{l.data("pki"), l.data("etcd"), l.data("kubelet"), l.kubeconfig(), l.auditLog(), l.tracesFile()}
}

// lock takes the cluster's lock, so that two commands never change it at once. The caller keeps the file open.
func (l layout) lock() (*os.File, error) {
	if err := os.MkdirAll(l.data(), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(l.data("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
		return file, nil
	}
	say("waiting for another cluster command to end")
	return file, syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
}
