package main

import (
	"cmp"
	"os"
	"path/filepath"
)

const defaultName = "finetune-dev"

// name is fixed but for tests of the cluster itself: `down` finds everything by it, whoever started the cluster.
var name = cmp.Or(os.Getenv("DEVCLUSTER_NAME"), defaultName)

// clients is the control group of what runs in the cluster's network, such as kubectl.
var clients = name + ".clients"

var (
	stateRoot     = "/var/lib/" + name
	runtimeRoot   = "/run/" + name // sockets: a unix socket path has at most 107 characters
	lockPath      = "/run/" + name + ".lock"
	controlSocket = runtimeRoot + "/control.sock"
	supervisorPID = runtimeRoot + "/supervisor.json"
	adminConfig   = stateRoot + "/admin.kubeconfig"
	auditLog      = stateRoot + "/logs/audit.log"
)

const firstNode = "first"

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

// binDir holds the cluster's programs: those that it runs, or those that `up` is told to start.
func binDir() string {
	if told := os.Getenv("DEVCLUSTER_BIN"); told != "" {
		return told
	}
	supervisor, _ := readSupervisor()
	return supervisor.Programs
}

func program(name string) string { return filepath.Join(binDir(), name) }

// keptDir survives `down`: images of gigabytes need not move again. A test's cluster keeps nothing.
func keptDir() string {
	if name != defaultName {
		return filepath.Join(stateRoot, "kept")
	}
	base := cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(os.Getenv("HOME"), ".cache"))
	return filepath.Join(base, "finetune-operator")
}

func logPath(process string) string { return filepath.Join(stateRoot, "logs", process+".log") }
