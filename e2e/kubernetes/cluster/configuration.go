package cluster

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed templates
var templates embed.FS

// facts is what the templates may name.
type facts struct {
	layout
	Node, NodeAddress, PodRange, ServiceRange, DNSAddress, Domain, Context string
	PauseImage, CoreDNSImage                                               string
	PluginFolder                                                           string
}

func (l layout) facts(pluginFolder string) facts {
	return facts{
		layout: l, Node: nodeName, NodeAddress: nodeAddress, PodRange: podRange, ServiceRange: serviceRange,
		DNSAddress: dnsAddress, Domain: domain, Context: contextName,
		PauseImage: pauseImage, CoreDNSImage: coreDNSImage, PluginFolder: pluginFolder,
	}
}

// Data, Runtime, Config and Pki let templates build paths.
func (f facts) Data(name string) string    { return f.data(name) }
func (f facts) Runtime(name string) string { return f.runtime(name) }
func (f facts) Config(name string) string  { return f.config(name) }
func (f facts) Pki(name string) string     { return f.pki(name) }

// render fills a template in. A name that the facts don't have is an error.
func render(name string, f facts) ([]byte, error) {
	parsed, err := template.New(name).Option("missingkey=error").ParseFS(templates, "templates/"+name)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := parsed.Execute(&text, f); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}

// configurations maps the templates of the components' configuration to where they go.
func (l layout) configurations() map[string]string {
	return map[string]string{
		"audit.yaml":      l.config("audit.yaml"),
		"containerd.toml": l.config("containerd.toml"),
		"network.json":    l.config("cni/10-ferromesh.conflist"),
		"kubelet.yaml":    l.config("kubelet.yaml"),
		"kube-proxy.yaml": l.config("kube-proxy.yaml"),
		"resolv.conf":     l.config("resolv.conf"),
	}
}

// writeConfigurations writes all files that the components read, and the kubeconfig for people.
func (l layout) writeConfigurations(f facts) error {
	for name, path := range l.configurations() {
		text, err := render(name, f)
		if err != nil {
			return err
		}
		if err := writeFile(path, text, 0o644); err != nil {
			return err
		}
	}
	for _, user := range []string{"kubelet", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		if err := l.writeKubeconfig(l.componentConfig(user), user); err != nil {
			return err
		}
	}
	return l.writeKubeconfig(l.kubeconfig(), "admin")
}

// writeKubeconfig writes a kubeconfig that stands alone, for the holder of a certificate.
func (l layout) writeKubeconfig(path, user string) error {
	var encoded []any
	for _, file := range []string{"ca.crt", user + ".crt", user + ".key"} {
		text, err := os.ReadFile(l.pki(file))
		if err != nil {
			return err
		}
		encoded = append(encoded, base64.StdEncoding.EncodeToString(text))
	}
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[1]s}
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
`, append([]any{contextName, apiURL()}, encoded...)...)
	return writeFile(path, []byte(text), 0o600)
}

// writeFile writes a file and the folders above it; a reader finds the old content or the new, never a part.
func writeFile(path string, content []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	unfinished := path + ".unfinished"
	if err := os.WriteFile(unfinished, content, mode); err != nil {
		return err
	}
	return os.Rename(unfinished, path)
}
