// The DNS server of the local cluster: CoreDNS with the plugins that its Corefile names and no others. The full program
// has every cloud's plugins, whose libraries would take most of the time of building the cluster.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/metrics"
	_ "github.com/coredns/coredns/plugin/ready"
)

// main names the plugins in the order in which a query passes them, then runs CoreDNS.
func main() {
	dnsserver.Directives = []string{"ready", "health", "prometheus", "errors", "kubernetes"}
	coremain.Run()
}
