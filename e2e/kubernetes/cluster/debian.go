package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// tools are the programs of the machine that the cluster runs.
type tools struct {
	containerd string
	ctr        string
	// plugins is the folder of the CNI plugins.
	plugins string
}

// requirement is a program and the Debian package that brings it.
type requirement struct{ program, debianPackage string }

var requirements = []requirement{
	{"ip", "iproute2"},
	{"iptables", "iptables"},
	{"mount", "mount"},
	{"runc", "runc"},
	{containerd, "containerd"},
	{"ctr", "containerd"},
	{"ptp", "containernetworking-plugins"},
	{"portmap", "containernetworking-plugins"},
	{"host-local", "containernetworking-plugins"},
	{"loopback", "containernetworking-plugins"},
}

// programFolders are searched for programs: those of root, which another user's PATH may lack, and those where
// distributions keep CNI plugins.
var programFolders = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}
var pluginFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

// findProgram looks a program or plugin up; it returns "" when the machine hasn't got it.
func findProgram(name string, folders []string) string {
	for _, folder := range folders {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// missing lists what the machine hasn't got.
func missing(all []requirement, folders []string) []requirement {
	var absent []requirement
	for _, r := range all {
		if findProgram(r.program, folders) == "" {
			absent = append(absent, r)
		}
	}
	return absent
}

func allFolders() []string { return append(append([]string{}, programFolders...), pluginFolders...) }

// provideTools finds the tools, and installs what is missing where there is an apt-get.
func (l layout) provideTools() (tools, error) {
	// The programs that we start look for theirs by PATH, too.
	if err := os.Setenv("PATH", strings.Join(programFolders, ":")+":"+os.Getenv("PATH")); err != nil {
		return tools{}, err
	}
	if absent := missing(requirements, allFolders()); len(absent) > 0 {
		if err := l.install(packages(absent)); err != nil {
			return tools{}, err
		}
		if absent := missing(requirements, allFolders()); len(absent) > 0 {
			return tools{}, fmt.Errorf("%s still missing after installing %s: see %s",
				programs(absent), strings.Join(packages(absent), " "), l.log("apt"))
		}
	}
	return tools{
		containerd: findProgram(containerd, programFolders),
		ctr:        findProgram("ctr", programFolders),
		plugins:    filepath.Dir(findProgram("ptp", pluginFolders)),
	}, nil
}

func programs(all []requirement) string {
	var names []string
	for _, r := range all {
		names = append(names, r.program)
	}
	return strings.Join(names, ", ")
}

// packages lists the packages of some requirements, each once.
func packages(all []requirement) []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range all {
		if !seen[r.debianPackage] {
			seen[r.debianPackage] = true
			names = append(names, r.debianPackage)
		}
	}
	return names
}

// install installs Debian packages. The package index is fetched only if it turns out to be absent or outdated.
func (l layout) install(names []string) error {
	list := strings.Join(names, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine lacks programs of the Debian packages %s and has no apt-get: install them by its own means", list)
	}
	say("installing Debian packages: %s", list)
	if err := os.MkdirAll(filepath.Dir(l.log("apt")), 0o755); err != nil {
		return err
	}
	log, err := os.Create(l.log("apt"))
	if err != nil {
		return err
	}
	defer log.Close()
	allowServices, err := forbidServices()
	if err != nil {
		return err
	}
	defer allowServices()
	apt := func(args ...string) error {
		command := exec.Command("apt-get", append([]string{"-q", "-y", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
		command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		command.Stdout, command.Stderr = log, log
		return command.Run()
	}
	arguments := append([]string{"install", "--no-install-recommends"}, names...)
	if apt(arguments...) != nil {
		if err := errors.Join(apt("update"), apt(arguments...)); err != nil {
			return fmt.Errorf("apt-get cannot install %s (%w): see %s", list, err, log.Name())
		}
	}
	return disableService("containerd", names)
}

// servicePolicy is the program that Debian's packages ask whether they may start a service.
const servicePolicy = "/usr/sbin/policy-rc.d"

// forbidServices keeps packages from starting services while they are installed: the cluster runs its own containerd,
// and the machine's must not appear by the way. A policy that the machine has already is left as it is.
func forbidServices() (restore func(), err error) {
	file, err := os.OpenFile(servicePolicy, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	const refuse = "#!/bin/sh\nexit 101\n"
	_, err = file.WriteString(refuse)
	return func() { os.Remove(servicePolicy) }, err
}

// disableService keeps a service whose package was just installed from starting with the machine.
func disableService(name string, installed []string) error {
	if _, err := exec.LookPath("systemctl"); err != nil {
		return nil
	}
	for _, other := range installed {
		if other == name {
			return runQuietly("systemctl", "disable", name)
		}
	}
	return nil
}
