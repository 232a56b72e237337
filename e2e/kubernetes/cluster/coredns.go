package cluster

import (
	"bytes"
	"fmt"
	"strings"
)

// collections maps the kinds in coredns.yaml to where the API server keeps them.
var collections = map[string]string{
	"ServiceAccount":     "/api/v1/namespaces/kube-system/serviceaccounts/",
	"ConfigMap":          "/api/v1/namespaces/kube-system/configmaps/",
	"Service":            "/api/v1/namespaces/kube-system/services/",
	"Deployment":         "/apis/apps/v1/namespaces/kube-system/deployments/",
	"ClusterRole":        "/apis/rbac.authorization.k8s.io/v1/clusterroles/",
	"ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/",
}

// object is a document of coredns.yaml and the path of what it describes.
type object struct {
	path string
	yaml []byte
}

// splitObjects finds kind and name of each document by the few forms in which our own template writes them.
func splitObjects(text []byte) ([]object, error) {
	var objects []object
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var kind, name string
		for _, line := range strings.Split(string(document), "\n") {
			if value, found := strings.CutPrefix(line, "kind: "); found && kind == "" {
				kind = value
			}
			value, found := strings.CutPrefix(line, "metadata: {name: ")
			if !found {
				value, found = strings.CutPrefix(line, "  name: ")
			}
			if found && name == "" {
				value, _, _ = strings.Cut(strings.TrimSuffix(value, "}"), ",")
				name = strings.Trim(value, `"`)
			}
		}
		collection, known := collections[kind]
		if !known || name == "" {
			return nil, fmt.Errorf("coredns.yaml: cannot place the object of kind %q named %q", kind, name)
		}
		objects = append(objects, object{path: collection + name, yaml: document})
	}
	return objects, nil
}

// installCoreDNS makes the cluster's name server.
func (l layout) installCoreDNS(a api, f facts) error {
	text, err := render("coredns.yaml", f)
	if err != nil {
		return err
	}
	objects, err := splitObjects(text)
	if err != nil {
		return err
	}
	for _, o := range objects {
		if err := a.apply(o.path, o.yaml); err != nil {
			return err
		}
	}
	return nil
}
