package cluster

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestEveryTemplateRenders(t *testing.T) {
	l := layout{cache: "/cache", run: "/run/x"}
	files, err := templates.ReadDir("templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := render(file.Name(), l.facts("/plugins"))
		if err != nil {
			t.Errorf("%s: %v", file.Name(), err)
		}
		if bytes.Contains(text, []byte("{{")) {
			t.Errorf("%s is not filled in:\n%s", file.Name(), text)
		}
		if _, used := l.configurations()[file.Name()]; !used && file.Name() != "coredns.yaml" {
			t.Errorf("nothing uses %s", file.Name())
		}
	}
}

func TestNetworkConfigurationIsJSONAndUsesInstalledPlugins(t *testing.T) {
	text, err := render("network.json", layout{cache: "/cache", run: "/run/x"}.facts("/plugins"))
	if err != nil {
		t.Fatal(err)
	}
	var network struct {
		Plugins []struct {
			Type string
			IPAM struct{ Type string }
		}
	}
	if err := json.Unmarshal(text, &network); err != nil {
		t.Fatal(err)
	}
	required := programs(requirements)
	for _, plugin := range network.Plugins {
		if !strings.Contains(required, plugin.Type) || !strings.Contains(required, plugin.IPAM.Type) {
			t.Errorf("%s or %s is not among the requirements", plugin.Type, plugin.IPAM.Type)
		}
	}
}

func TestEveryObjectOfCoreDNSHasItsPlace(t *testing.T) {
	text, err := render("coredns.yaml", layout{}.facts(""))
	if err != nil {
		t.Fatal(err)
	}
	objects, err := splitObjects(text)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, o := range objects {
		paths = append(paths, o.path)
	}
	want := strings.Join([]string{
		"/api/v1/namespaces/kube-system/serviceaccounts/coredns",
		"/apis/rbac.authorization.k8s.io/v1/clusterroles/system:coredns",
		"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/system:coredns",
		"/api/v1/namespaces/kube-system/configmaps/coredns",
		"/api/v1/namespaces/kube-system/services/kube-dns",
		"/apis/apps/v1/namespaces/kube-system/deployments/coredns",
	}, "\n")
	if got := strings.Join(paths, "\n"); got != want {
		t.Errorf("got\n%s", got)
	}
	if _, err := splitObjects([]byte("kind: Mystery\nmetadata: {name: x}\n")); err == nil {
		t.Error("an object of an unknown kind is accepted")
	}
}

func TestCertificatesFitTheirHolders(t *testing.T) {
	folder := t.TempDir()
	if err := writeCertificates(folder, time.Now()); err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(filepath.Join(folder, "ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(root)
	for _, s := range clusterSubjects() {
		pair, err := tls.LoadX509KeyPair(filepath.Join(folder, s.file+".crt"), filepath.Join(folder, s.file+".key"))
		if err != nil {
			t.Fatal(err)
		}
		usage := x509.ExtKeyUsageClientAuth
		if len(s.hosts) > 0 {
			usage = x509.ExtKeyUsageServerAuth
		}
		certificate, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", s.file, err)
		}
		for _, host := range s.hosts {
			if err := certificate.VerifyHostname(host); err != nil {
				t.Errorf("%s: %v", s.file, err)
			}
		}
		if certificate.Subject.CommonName != s.user {
			t.Errorf("%s is for %s", s.file, certificate.Subject.CommonName)
		}
	}
	key, err := os.Stat(filepath.Join(folder, "ca.key"))
	if err != nil || key.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key can be read by others: %v %v", key.Mode(), err)
	}
}

func TestCertificatesAreMadeOnce(t *testing.T) {
	l := layout{cache: t.TempDir()}
	read := func() string {
		if err := l.makeCertificates(); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(l.pki("ca.crt"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	// What an interrupted attempt left must be neither used nor in the way.
	if err := os.MkdirAll(l.data("pki.unfinished", "ca.crt"), 0o700); err != nil {
		t.Fatal(err)
	}
	if first := read(); read() != first {
		t.Error("running components would lose their authority")
	}
}

func TestFailedChecksOfTheAPIServerAreNamed(t *testing.T) {
	answer := "GET /readyz: 500: [+]ping ok\n[-]etcd failed: reason withheld\n[-]shutdown failed: x\nreadyz check failed"
	if got := strings.Join(failedChecks(answer), " "); got != "etcd shutdown" {
		t.Errorf("got %q", got)
	}
}
