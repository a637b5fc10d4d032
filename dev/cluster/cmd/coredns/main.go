// Command coredns is CoreDNS with the few plugins the development cluster needs; the full build drags in every cloud.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/hosts"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

func init() {
	// The order is the order in which the plugins see a query.
	dnsserver.Directives = []string{"bind", "errors", "ready", "cache", "hosts", "kubernetes"}
}

func main() { coremain.Run() }
