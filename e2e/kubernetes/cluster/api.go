package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func apiURL() string { return "https://" + nodeAddress + ":" + apiPort }

// api is a client of the API server with every right.
type api struct{ client *http.Client }

func (l layout) api() (api, error) {
	certificate, err := tls.LoadX509KeyPair(l.pki("admin.crt"), l.pki("admin.key"))
	if err != nil {
		return api{}, err
	}
	root, err := os.ReadFile(l.pki("ca.crt"))
	if err != nil {
		return api{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	return api{client: &http.Client{
		Timeout: 5 * time.Second,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, RootCAs: roots},
		},
	}}, nil
}

// call sends a request and decodes the answer's JSON into result, unless that is nil.
func (a api) call(method, path, contentType string, body []byte, result any) error {
	return a.callServer(apiURL(), method, path, contentType, body, result)
}

func (a api) callServer(server, method, path, contentType string, body []byte, result any) error {
	request, err := http.NewRequest(method, server+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := a.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(text)))
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(text, result)
}

func (a api) get(path string, result any) error { return a.call(http.MethodGet, path, "", nil, result) }

// apply makes an object be as the YAML says, whether it exists or not.
func (a api) apply(path string, yaml []byte) error {
	return a.call(http.MethodPatch, path+"?fieldManager=ferromesh-local-cluster&force=true", "application/apply-patch+yaml", yaml, nil)
}

// ready returns nil when the API server serves all that it has.
func (a api) ready() error {
	err := a.call(http.MethodGet, "/readyz", "", nil, nil)
	if err == nil {
		return nil
	}
	if failed := failedChecks(err.Error()); len(failed) > 0 {
		return fmt.Errorf("not yet: %s", strings.Join(failed, ", "))
	}
	return err
}

// kubeletReady returns nil when the kubelet itself says that it is well. The node's state in the API server does not tell:
// it stays as it was for most of a minute after the kubelet has died.
func (a api) kubeletReady() error {
	return a.callServer("https://"+nodeAddress+":10250", http.MethodGet, "/healthz", "", nil, nil)
}

// failedChecks picks the names of the checks that failed from an answer of /readyz, which lists all of them in lines such
// as `[-]poststarthook/rbac/bootstrap-roles failed: reason withheld`.
func failedChecks(answer string) []string {
	var failed []string
	for _, line := range strings.Split(answer, "\n") {
		if check, found := strings.CutPrefix(line, "[-]"); found {
			name, _, _ := strings.Cut(check, " ")
			failed = append(failed, name)
		}
	}
	return failed
}

// node is what status says of the node.
type node struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	Version string `json:"version"`
	Ready   bool   `json:"ready"`
	// Reason says why the node is not ready.
	Reason string `json:"reason,omitempty"`
}

// node asks for the node's state.
func (a api) node() (node, error) {
	var object struct {
		Status struct {
			Conditions []struct{ Type, Status, Message string }
			NodeInfo   struct{ KubeletVersion string }
		}
	}
	if err := a.get("/api/v1/nodes/"+nodeName, &object); err != nil {
		return node{}, err
	}
	found := node{Name: nodeName, Address: nodeAddress, Version: object.Status.NodeInfo.KubeletVersion}
	for _, condition := range object.Status.Conditions {
		if condition.Type == "Ready" {
			found.Ready, found.Reason = condition.Status == "True", condition.Message
		}
	}
	if found.Ready {
		found.Reason = ""
	}
	return found, nil
}

func (a api) nodeReady() error {
	found, err := a.node()
	if err == nil && !found.Ready {
		return fmt.Errorf("not ready: %s", found.Reason)
	}
	return err
}

// namesReady returns nil when the cluster's name server answers.
func (a api) namesReady() error {
	var object struct{ Status struct{ ReadyReplicas int } }
	if err := a.get("/apis/apps/v1/namespaces/kube-system/deployments/coredns", &object); err != nil {
		return err
	}
	if object.Status.ReadyReplicas == 0 {
		return errors.New("no CoreDNS pod is ready")
	}
	return nil
}

// podsPossible returns nil when a pod could be created in the namespace `default`.
func (a api) podsPossible() error {
	return a.get("/api/v1/namespaces/default/serviceaccounts/default", nil)
}
