package cluster

import "os"

// component is a long-running program of the cluster.
type component struct {
	name    string
	program string
	args    []string
}

const containerd = "containerd"

// foundation are the components that everything else needs, in the order of their start.
func (l layout) foundation(t tools) ([]component, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []component{
		{name: containerd, program: t.containerd, args: []string{"--config", l.config("containerd.toml")}},
		// Plain HTTP on the node's loopback: only what runs as root in the node's own network can connect.
		// Without fsync, because the data is thrown away with the cluster.
		{name: "etcd", program: self, args: []string{
			"--name=" + nodeName,
			"--data-dir=" + l.data("etcd"),
			"--listen-client-urls=http://127.0.0.1:2379",
			"--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380",
			"--initial-advertise-peer-urls=http://127.0.0.1:2380",
			"--initial-cluster=" + nodeName + "=http://127.0.0.1:2380",
			"--log-level=warn",
			"--unsafe-no-fsync",
		}},
		{name: "kube-apiserver", program: self, args: l.apiServerArguments()},
	}, nil
}

func (l layout) apiServerArguments() []string {
	return []string{
		"--etcd-servers=http://127.0.0.1:2379",
		"--secure-port=" + apiPort,
		"--advertise-address=" + nodeAddress,
		"--tls-cert-file=" + l.pki("kube-apiserver.crt"),
		"--tls-private-key-file=" + l.pki("kube-apiserver.key"),
		"--client-ca-file=" + l.pki("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged",
		"--service-cluster-ip-range=" + serviceRange,
		"--service-account-issuer=https://kubernetes.default.svc." + domain,
		"--service-account-key-file=" + l.pki("service-accounts.key"),
		"--service-account-signing-key-file=" + l.pki("service-accounts.key"),
		"--kubelet-certificate-authority=" + l.pki("ca.crt"),
		"--kubelet-client-certificate=" + l.pki("kube-apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + l.pki("kube-apiserver-kubelet-client.key"),
		// By default the node's name comes first, which no name server knows; exec and logs would fail.
		"--kubelet-preferred-address-types=InternalIP",
		"--requestheader-client-ca-file=" + l.pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + l.pki("front-proxy-client.crt"),
		"--proxy-client-key-file=" + l.pki("front-proxy-client.key"),
		"--profiling=false",
		"--audit-policy-file=" + l.config("audit.yaml"),
		"--audit-log-path=" + l.auditLog(),
		// One file, as whoever reads it wants all.
		"--audit-log-maxsize=1000",
	}
}

// followers are the components that need an API server which answers.
func (l layout) followers() ([]component, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return []component{
		{name: "kubelet", program: self, args: []string{
			"--config=" + l.config("kubelet.yaml"),
			"--kubeconfig=" + l.componentConfig("kubelet"),
			"--root-dir=" + l.data("kubelet"),
			"--cert-dir=" + l.data("kubelet", "pki"),
			"--hostname-override=" + nodeName,
			"--node-ip=" + nodeAddress,
		}},
		{name: "kube-controller-manager", program: self, args: []string{
			"--kubeconfig=" + l.componentConfig("kube-controller-manager"),
			"--authentication-kubeconfig=" + l.componentConfig("kube-controller-manager"),
			"--authorization-kubeconfig=" + l.componentConfig("kube-controller-manager"),
			"--bind-address=127.0.0.1",
			"--leader-elect=false",
			"--use-service-account-credentials",
			"--root-ca-file=" + l.pki("ca.crt"),
			"--service-account-private-key-file=" + l.pki("service-accounts.key"),
			"--cluster-signing-cert-file=" + l.pki("ca.crt"),
			"--cluster-signing-key-file=" + l.pki("ca.key"),
			"--allocate-node-cidrs",
			"--cluster-cidr=" + podRange,
			"--node-cidr-mask-size=24",
			// At the default rate of 20 requests a second, its forty controllers alone take five seconds to start.
			"--kube-api-qps=300",
			"--kube-api-burst=500",
			"--profiling=false",
		}},
		{name: "kube-scheduler", program: self, args: []string{
			"--kubeconfig=" + l.componentConfig("kube-scheduler"),
			"--authentication-kubeconfig=" + l.componentConfig("kube-scheduler"),
			"--authorization-kubeconfig=" + l.componentConfig("kube-scheduler"),
			"--bind-address=127.0.0.1",
			"--leader-elect=false",
			"--profiling=false",
		}},
		{name: "kube-proxy", program: self, args: []string{"--config=" + l.config("kube-proxy.yaml")}},
	}, nil
}

// componentNames lists all components in the order in which people look at them.
var componentNames = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", containerd,
}
