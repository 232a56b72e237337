package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
)

// up makes a healthy cluster of whatever is there: nothing, all, or what an interrupted start or a crash has left.
func (l layout) up() error {
	begin := time.Now()
	if err := l.checkOwner(); err != nil {
		return err
	}
	if s := l.status(); s.Healthy {
		say("already running: node %s %s at %s; kubeconfig %s", s.Node.Name, s.Node.Version, s.Node.Address, s.Kubeconfig)
		return nil
	}
	if l.repairable() {
		say("not healthy: starting what has stopped")
		err := l.start()
		if err == nil {
			return l.greet(begin)
		}
		say("that did not help (%v): starting afresh", err)
	}
	// Also when nothing runs: a restart of the machine may have left files of a cluster's last life.
	if err := l.down(); err != nil {
		return err
	}
	if err := l.start(); err != nil {
		return err
	}
	return l.greet(begin)
}

func (l layout) greet(begin time.Time) error {
	s := l.status()
	if !s.Healthy {
		return fmt.Errorf("the cluster became unhealthy at once: %s", strings.Join(s.Problems, "; "))
	}
	say("ready in %.1f s: node %s %s at %s", time.Since(begin).Seconds(), s.Node.Name, s.Node.Version, s.Node.Address)
	say("export KUBECONFIG=%s", s.Kubeconfig)
	return nil
}

func (l layout) ownerFile() string { return l.runtime("cache") }

// checkOwner refuses to touch a cluster that keeps its files in another cache folder.
func (l layout) checkOwner() error {
	owner, err := os.ReadFile(l.ownerFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil && string(owner) != l.cache {
		return fmt.Errorf("the cluster on this machine belongs to FERROMESH_CACHE=%s; this is %s", owner, l.cache)
	}
	return nil
}

// repairable tells whether the parts are there that cannot be made again under running components.
func (l layout) repairable() bool {
	if len(l.allRecorded()) == 0 || !networkExists() {
		return false
	}
	_, err := os.Stat(l.pki("admin.crt"))
	return err == nil
}

// start makes all that is missing, in the order in which one thing needs another, and waits until pods can run.
func (l layout) start() error {
	t, err := l.provideTools()
	if err != nil {
		return err
	}
	if err := l.prepare(t); err != nil {
		return err
	}
	foundation, err := l.foundation(t)
	if err != nil {
		return err
	}
	if err := l.ensureRunning(foundation); err != nil {
		return err
	}
	images := make(chan error, 1)
	go func() { images <- l.provideImages(l.containers(t)) }()
	client, err := l.api()
	if err != nil {
		return err
	}
	if err := await("the API server", 90*time.Second, l.while(foundation, client.ready)); err != nil {
		return errors.Join(err, <-images)
	}
	// Before the kubelet starts: it ends when it finds no container runtime.
	if err := <-images; err != nil {
		return err
	}
	followers, err := l.followers()
	if err != nil {
		return err
	}
	if err := l.ensureRunning(followers); err != nil {
		return err
	}
	if err := l.installCoreDNS(client, l.facts(t.plugins)); err != nil {
		return fmt.Errorf("cannot install CoreDNS: %w", err)
	}
	all := append(foundation, followers...)
	for _, step := range []struct {
		what  string
		probe func() error
	}{
		{"the kubelet", client.kubeletReady},
		{"the node", client.nodeReady},
		{"CoreDNS", client.namesReady},
		{"the ServiceAccount of the namespace default", client.podsPossible},
	} {
		if err := await(step.what, 90*time.Second, l.while(all, step.probe)); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes everything that is not a process.
func (l layout) prepare(t tools) error {
	// First of all the owner's name: from here on there is something to stop.
	if err := writeFile(l.ownerFile(), []byte(l.cache), 0o644); err != nil {
		return err
	}
	if err := l.noteTraces(); err != nil {
		return err
	}
	if err := raiseFileLimit(); err != nil {
		return err
	}
	if err := makeCgroups(); err != nil {
		return err
	}
	if !networkExists() {
		if err := makeNetwork(); err != nil {
			return fmt.Errorf("cannot make the node's network: %w", err)
		}
	}
	if err := l.makeCertificates(); err != nil {
		return fmt.Errorf("cannot make certificates: %w", err)
	}
	return l.writeConfigurations(l.facts(t.plugins))
}

// raiseFileLimit lets the components, and through them all containers, open as many files as the machine allows.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// provideImages waits for containerd and gives it the images without which no pod runs.
func (l layout) provideImages(c containers) error {
	if err := await(containerd, 30*time.Second, c.ready); err != nil {
		return l.explain(containerd, err)
	}
	return l.loadOwnImages(c)
}

// ensureRunning starts the components that don't run.
func (l layout) ensureRunning(all []component) error {
	for _, c := range all {
		if p, found := l.recorded(c.name); found && p.alive() {
			continue
		}
		if _, err := l.spawn(c); err != nil {
			return err
		}
		if c.name == "etcd" {
			// An API server that has lost its etcd comes back to it only after long pauses; a new one does at once.
			if p, found := l.recorded("kube-apiserver"); found {
				if err := p.stop(0); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// while makes a probe hopeless when one of the components has ended.
func (l layout) while(all []component, probe func() error) func() error {
	return func() error {
		for _, c := range all {
			if p, found := l.recorded(c.name); !found || !p.alive() {
				return hopeless{l.explain(c.name, fmt.Errorf("%s has ended", c.name))}
			}
		}
		return probe()
	}
}

// explain adds the last lines of a component's log to an error.
func (l layout) explain(name string, err error) error {
	text, problem := os.ReadFile(l.log(name))
	if problem != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	const shown = 8
	if len(lines) > shown {
		lines = lines[len(lines)-shown:]
	}
	return fmt.Errorf("%w; the end of %s:\n  %s", err, l.log(name), strings.Join(lines, "\n  "))
}
