package cluster

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// A cluster lives for hours; a year leaves room for one that is forgotten. The start lies in the past, because the clock
// of a machine that was asleep may be put back.
const (
	certificateLife = 365 * 24 * time.Hour
	clockSlack      = time.Hour
)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// subject is whom a certificate is for.
type subject struct {
	// file is the name of the certificate's and the key's file, without the ending.
	file string
	// user and group are what the API server takes the holder for.
	user, group string
	// hosts are the names and addresses of a server; a certificate without them is for a client.
	hosts []string
}

// clusterSubjects are all holders of certificates of the cluster's own authority.
func clusterSubjects() []subject {
	return []subject{
		{file: "kube-apiserver", user: "kube-apiserver", hosts: []string{
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + domain,
			"localhost", "127.0.0.1", nodeAddress, apiServiceAddress,
		}},
		{file: "kubelet-server", user: "system:node:" + nodeName, group: "system:nodes", hosts: []string{nodeName, nodeAddress}},
		{file: "kube-apiserver-kubelet-client", user: "kube-apiserver-kubelet-client", group: "system:masters"},
		{file: "admin", user: "ferromesh-admin", group: "system:masters"},
		{file: "kubelet", user: "system:node:" + nodeName, group: "system:nodes"},
		{file: "kube-controller-manager", user: "system:kube-controller-manager"},
		{file: "kube-scheduler", user: "system:kube-scheduler"},
		{file: "kube-proxy", user: "system:kube-proxy"},
	}
}

// makeCertificates makes all keys and certificates, unless they are there. They appear all at once or not at all.
func (l layout) makeCertificates() error {
	if _, err := os.Stat(l.pki("")); err == nil {
		return nil
	}
	unfinished := l.data("pki.unfinished")
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		return err
	}
	if err := writeCertificates(unfinished, time.Now()); err != nil {
		return err
	}
	return os.Rename(unfinished, l.pki(""))
}

func writeCertificates(folder string, now time.Time) error {
	root, err := newAuthority(folder, "ca", now)
	if err != nil {
		return err
	}
	for _, s := range clusterSubjects() {
		if err := root.issue(folder, s, now); err != nil {
			return err
		}
	}
	// Extension API servers believe what a holder of this authority's certificates says of its callers, so it is another.
	front, err := newAuthority(folder, "front-proxy-ca", now)
	if err != nil {
		return err
	}
	if err := front.issue(folder, subject{file: "front-proxy-client", user: "front-proxy-client"}, now); err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return writeKey(filepath.Join(folder, "service-accounts"), key)
}

func newAuthority(folder, name string, now time.Time) (authority, error) {
	template := certificateTemplate(pkix.Name{CommonName: "ferromesh local cluster " + name}, now)
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign | x509.KeyUsageDigitalSignature
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	self := authority{certificate: template, key: key}
	encoded, err := self.sign(template, key)
	if err != nil {
		return authority{}, err
	}
	self.certificate, err = x509.ParseCertificate(encoded)
	if err != nil {
		return authority{}, err
	}
	return self, writePair(filepath.Join(folder, name), encoded, key)
}

func (a authority) issue(folder string, s subject, now time.Time) error {
	name := pkix.Name{CommonName: s.user}
	if s.group != "" {
		name.Organization = []string{s.group}
	}
	template := certificateTemplate(name, now)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(s.hosts) > 0 {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	for _, host := range s.hosts {
		if address := net.ParseIP(host); address != nil {
			template.IPAddresses = append(template.IPAddresses, address)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	encoded, err := a.sign(template, key)
	if err != nil {
		return fmt.Errorf("cannot sign the certificate of %s: %w", s.file, err)
	}
	return writePair(filepath.Join(folder, s.file), encoded, key)
}

func (a authority) sign(template *x509.Certificate, key *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	return x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
}

func certificateTemplate(name pkix.Name, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		Subject:   name,
		NotBefore: now.Add(-clockSlack),
		NotAfter:  now.Add(certificateLife),
	}
}

// writePair writes path.crt and path.key.
func writePair(path string, certificate []byte, key *ecdsa.PrivateKey) error {
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	if err := os.WriteFile(path+".crt", text, 0o644); err != nil {
		return err
	}
	return writeKey(path, key)
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	encoded, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return os.WriteFile(path+".key", pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), 0o600)
}
