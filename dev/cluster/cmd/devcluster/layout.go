package main

import (
	"os"
	"path/filepath"
)

// One development cluster per machine: fixed names let `down` find everything, whoever started it.
const (
	name          = "finetune-dev"
	stateRoot     = "/var/lib/" + name
	runtimeRoot   = "/run/" + name // sockets: a unix socket path has at most 107 characters
	networkRoot   = "/run/netns/" + name
	lockPath      = "/run/" + name + ".lock"
	controlSocket = runtimeRoot + "/control.sock"
	supervisorPID = runtimeRoot + "/supervisor.json"
	adminConfig   = stateRoot + "/admin.kubeconfig"
	auditLog      = stateRoot + "/logs/audit.log"
	imageDigests  = stateRoot + "/images.json"

	firstNode = "first"
)

// Addresses exist only inside the cluster's own network namespace, so they cannot clash with the machine's.
const (
	nodeNetwork    = "10.111.0."
	controlAddress = nodeNetwork + "1"
	dnsAddress     = nodeNetwork + "2"
	firstNodeHost  = 10 // node number n has nodeNetwork + (firstNodeHost+n)

	podCIDR      = "10.244.0.0/16" // node number n has 10.244.n.0/24
	serviceCIDR  = "10.96.0.0/16"
	clusterDNS   = "cluster.local"
	apiServerURL = "https://" + controlAddress + ":6443"
	etcdURL      = "http://" + controlAddress + ":2379"

	registryName    = "registry.local:5000"
	registryAddress = controlAddress + ":5000"
)

// binDir holds the cluster's programs; dev/cluster/devcluster builds it and passes it on.
func binDir() string { return os.Getenv("DEVCLUSTER_BIN") }

func program(name string) string { return filepath.Join(binDir(), name) }

// cacheDir survives `down`: images of gigabytes need not move again.
func cacheDir() string {
	if base := os.Getenv("XDG_CACHE_HOME"); base != "" {
		return filepath.Join(base, "finetune-operator")
	}
	return filepath.Join(os.Getenv("HOME"), ".cache", "finetune-operator")
}

func logPath(process string) string { return filepath.Join(stateRoot, "logs", process+".log") }
