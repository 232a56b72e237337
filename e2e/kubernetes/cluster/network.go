package cluster

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// networkFolder is where `ip netns` keeps its namespaces.
const networkFolder = "/run/netns"

func networkPath() string { return filepath.Join(networkFolder, networkName) }

// networkExists tells whether the namespace and the wire to it are there.
func networkExists() bool {
	_, noNamespace := os.Stat(networkPath())
	_, noLink := net.InterfaceByName(machineLink)
	return noNamespace == nil && noLink == nil
}

// makeNetwork makes the node's network: a namespace of its own, joined to the machine by one wire.
//
// The node's default route leads to a bridge without ports. There must be one, or connecting to the address of a Service
// fails before kube-proxy's rules can rewrite it; and what follows it must get nowhere.
func makeNetwork() error {
	if err := checkFreeRange(); err != nil {
		return err
	}
	for _, line := range []string{
		"netns add " + networkName,
		"link add " + machineLink + " type veth peer name " + nodeLink + " netns " + networkName,
		"address add " + machineAddress + wirePrefix + " dev " + machineLink,
		"link set " + machineLink + " up",
		"-n " + networkName + " link set lo up",
		"-n " + networkName + " address add " + nodeAddress + wirePrefix + " dev " + nodeLink,
		"-n " + networkName + " link set " + nodeLink + " up",
		"-n " + networkName + " link add " + voidLink + " type bridge",
		"-n " + networkName + " link set " + voidLink + " up",
		"-n " + networkName + " route add default dev " + voidLink + " src " + nodeAddress,
	} {
		if err := runQuietly("ip", strings.Fields(line)...); err != nil {
			return err
		}
	}
	return insideNetwork(func() error {
		// /proc/sys/net shows the namespace of the thread that opens it.
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
	})
}

// checkFreeRange refuses to hide a network that the machine already uses.
func checkFreeRange() error {
	_, wire, err := net.ParseCIDR(machineAddress + wirePrefix)
	if err != nil {
		return err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, address := range addresses {
		if used, ok := address.(*net.IPNet); ok && (wire.Contains(used.IP) || used.Contains(wire.IP)) {
			return fmt.Errorf("the machine has the address %s already; the cluster needs %s for itself", used, wire)
		}
	}
	return nil
}

// insideNetwork runs a function on a thread that has joined the namespace.
func insideNetwork(do func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked, so that no other goroutine finds itself in the namespace.
		runtime.LockOSThread()
		done <- func() error {
			namespace, err := os.Open(networkPath())
			if err != nil {
				return err
			}
			defer namespace.Close()
			if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("cannot join the network namespace %s: %w", networkName, err)
			}
			return do()
		}()
	}()
	return <-done
}

// removeNetwork removes what makeNetwork made, as far as it is there.
func removeNetwork() error {
	if _, err := os.Stat(networkPath()); err == nil {
		if err := runQuietly("ip", "netns", "delete", networkName); err != nil {
			return err
		}
	}
	// The wire goes with the namespace, but some time later: the kernel cleans namespaces up in the background.
	if _, err := net.InterfaceByName(machineLink); err == nil {
		if err := runQuietly("ip", "link", "delete", machineLink); err != nil {
			if _, gone := net.InterfaceByName(machineLink); gone == nil {
				return err
			}
		}
	}
	return nil
}

// runQuietly runs a command whose output matters only if it fails.
func runQuietly(name string, args ...string) error {
	output, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return nil
}
