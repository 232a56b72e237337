package cluster

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
)

// containers talks to the cluster's containerd.
type containers struct {
	ctr    string
	socket string
}

func (l layout) containers(t tools) containers {
	return containers{ctr: t.ctr, socket: l.containerdSocket()}
}

// run calls ctr in the namespace in which the kubelet's containers and images are, and returns what it prints.
func (c containers) run(args ...string) (string, error) {
	arguments := append([]string{"--address", c.socket, "--namespace", "k8s.io"}, args...)
	output, err := exec.Command(c.ctr, arguments...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
	}
	return string(output), nil
}

// ready returns nil when containerd answers.
func (c containers) ready() error {
	_, err := c.run("version")
	return err
}

// removeAll removes every container with its writable layer. Their processes must have ended. Images stay.
func (c containers) removeAll() error {
	listed, err := c.run("containers", "list", "--quiet")
	if err != nil {
		return err
	}
	ids := strings.Fields(listed)
	if len(ids) == 0 {
		return nil
	}
	// A container whose task was never made or is gone already has none to delete, which is as good.
	_, _ = c.run(append([]string{"tasks", "delete", "--force"}, ids...)...)
	_, err = c.run(append([]string{"containers", "delete"}, ids...)...)
	return err
}

// image is a name with the digest of what it stands for.
type image struct {
	Name   string `json:"name"`
	Digest string `json:"digest"`
}

var (
	importedLine = regexp.MustCompile(`(?m)^unpacking (\S+) \((sha256:[0-9a-f]{64})\)`)
	listedLine   = regexp.MustCompile(`(?m)^(\S+)\s.*?\s(sha256:[0-9a-f]{64})\s`)
)

func parseImages(pattern *regexp.Regexp, text string) []image {
	var found []image
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found = append(found, image{Name: match[1], Digest: match[2]})
	}
	return found
}

// images lists what containerd has.
func (c containers) images() (map[image]bool, error) {
	output, err := c.run("images", "list")
	if err != nil {
		return nil, err
	}
	held := map[image]bool{}
	for _, i := range parseImages(listedLine, output) {
		held[i] = true
	}
	return held, nil
}

// importArchive loads a docker-archive or OCI archive and returns the images that were in it.
func (c containers) importArchive(path string) ([]image, error) {
	output, err := c.run("images", "import", path)
	if err != nil {
		return nil, err
	}
	found := parseImages(importedLine, output)
	if len(found) == 0 {
		return nil, fmt.Errorf("%s holds no named image (ctr says: %s)", path, strings.TrimSpace(output))
	}
	return found, nil
}
