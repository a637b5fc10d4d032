package main

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// issueControlPlane makes the certificates and kubeconfigs of everything but the nodes.
func issueControlPlane() error {
	authority, err := newAuthority()
	if err != nil {
		return err
	}
	if err := authority.issue("apiserver", pkix.Name{CommonName: "kube-apiserver"}, controlAddress, "10.96.0.1",
		"127.0.0.1", "kubernetes", "kubernetes.default", "kubernetes.default.svc"); err != nil {
		return err
	}
	masters := []string{"system:masters"}
	if err := authority.issue("apiserver-kubelet", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: masters}); err != nil {
		return err
	}
	if err := authority.issue("service-account", pkix.Name{CommonName: "service-accounts"}); err != nil {
		return err
	}
	for file, subject := range map[string]pkix.Name{
		"admin":              {CommonName: "admin", Organization: masters},
		"controller-manager": {CommonName: "system:kube-controller-manager"},
		"scheduler":          {CommonName: "system:kube-scheduler"},
		"proxy":              {CommonName: "system:kube-proxy"},
	} {
		if _, err := authority.issueConfig(file, subject); err != nil {
			return err
		}
	}
	return nil
}

func kubeconfigPath(file string) string { return filepath.Join(stateRoot, file+".kubeconfig") }

// writeConfigs writes the files that the processes below are told to read.
func writeConfigs() error {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		return err
	}
	files := map[string]string{
		"audit-policy.yaml": `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{level: Metadata}]
`,
		"Corefile": fmt.Sprintf(`.:53 {
    bind %s
    errors
    ready %s:8181
    cache 5
    hosts {
        %s registry.local
        fallthrough
    }
    kubernetes %s in-addr.arpa {
        kubeconfig %s
        pods insecure
        ttl 5
    }
}
`, dnsAddress, dnsAddress, controlAddress, clusterDNS, adminConfig),
		"registry.yaml": fmt.Sprintf(`version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
http: {addr: "%s"}
`, filepath.Join(keptDir(), "registry"), registryAddress),
		"etc/hosts":       fmt.Sprintf("%s\n%s registry.local\n", hosts, controlAddress),
		"etc/resolv.conf": fmt.Sprintf("nameserver %s\nsearch svc.%s %s\noptions ndots:5\n", dnsAddress, clusterDNS, clusterDNS),
		"certs.d/" + registryName + "/hosts.toml": fmt.Sprintf("server = \"http://%s\"\n", registryAddress),
	}
	for path, content := range files {
		path = filepath.Join(stateRoot, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func etcd() processSpec {
	return processSpec{Argv: []string{program("kubernetes"), "etcd",
		"--data-dir", filepath.Join(stateRoot, "etcd"),
		"--unsafe-no-fsync", // the data does not outlive the cluster
		"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
		"--listen-peer-urls", "http://127.0.0.1:2380",
		"--quota-backend-bytes", "2147483648", "--log-level", "warn",
	}}
}

func apiserver() processSpec {
	return processSpec{Argv: []string{program("kubernetes"), "kube-apiserver",
		"--etcd-servers", etcdURL, "--advertise-address", controlAddress, "--bind-address", "0.0.0.0",
		"--secure-port", "6443", "--service-cluster-ip-range", serviceCIDR,
		"--client-ca-file", pkiPath("ca.crt"),
		"--tls-cert-file", pkiPath("apiserver.crt"), "--tls-private-key-file", pkiPath("apiserver.key"),
		"--kubelet-client-certificate", pkiPath("apiserver-kubelet.crt"),
		"--kubelet-client-key", pkiPath("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types", "InternalIP",
		"--service-account-issuer", "https://kubernetes.default.svc." + clusterDNS,
		"--service-account-key-file", pkiPath("service-account.crt"),
		"--service-account-signing-key-file", pkiPath("service-account.key"),
		"--authorization-mode", "Node,RBAC", "--enable-admission-plugins", "NodeRestriction",
		"--allow-privileged=true", "--profiling=false",
		"--audit-policy-file", filepath.Join(stateRoot, "audit-policy.yaml"),
		"--audit-log-path", auditLog, "--audit-log-maxsize", "4000", "--audit-log-maxbackup", "1",
	}}
}

func controllerManager() processSpec {
	return processSpec{Argv: []string{program("kubernetes"), "kube-controller-manager",
		"--kubeconfig", kubeconfigPath("controller-manager"),
		"--authentication-kubeconfig", kubeconfigPath("controller-manager"),
		"--authorization-kubeconfig", kubeconfigPath("controller-manager"),
		"--root-ca-file", pkiPath("ca.crt"),
		"--service-account-private-key-file", pkiPath("service-account.key"),
		"--use-service-account-credentials", "--leader-elect=false", "--profiling=false",
		// Half the default 40 s or so: a lost node is noticed in seconds (nodes renew their lease every 3 s).
		"--node-monitor-grace-period", "16s", "--node-monitor-period", "2s",
		"--kube-api-qps", "200", "--kube-api-burst", "400", "--concurrent-job-syncs", "10",
	}}
}

// killControlPlane is a crash of one process, which is started again at once, as a kubelet does with a static pod. It
// does not wait until the process answers: what others make of that is what is to be seen.
func killControlPlane(arguments []string) error {
	specs := map[string]processSpec{
		"etcd": etcd(), "kube-apiserver": apiserver(),
		"kube-controller-manager": controllerManager(), "kube-scheduler": scheduler(),
	}
	if len(arguments) != 1 || len(specs[arguments[0]].Argv) == 0 {
		return errors.New("usage: devcluster kill etcd|kube-apiserver|kube-controller-manager|kube-scheduler")
	}
	if _, err := readSupervisor(); err != nil {
		return err
	}
	if err := stopProcess(arguments[0], true); err != nil {
		return err
	}
	return startProcess(arguments[0], specs[arguments[0]])
}

func scheduler() processSpec {
	return processSpec{Argv: []string{program("kubernetes"), "kube-scheduler",
		"--kubeconfig", kubeconfigPath("scheduler"),
		"--authentication-kubeconfig", kubeconfigPath("scheduler"),
		"--authorization-kubeconfig", kubeconfigPath("scheduler"),
		"--leader-elect=false", "--profiling=false", "--kube-api-qps", "200", "--kube-api-burst", "400",
	}}
}

// kubeProxy serves all nodes: they share one network namespace, so one set of rules is enough.
func kubeProxy() processSpec {
	return processSpec{Argv: []string{program("kubernetes"), "kube-proxy",
		"--kubeconfig", kubeconfigPath("proxy"), "--hostname-override", firstNode,
		"--proxy-mode", "nftables", "--cluster-cidr", podCIDR,
		// The machine's connection table is not ours to size.
		"--conntrack-max-per-core", "0", "--conntrack-min", "0",
		"--conntrack-tcp-timeout-established", "0s", "--conntrack-tcp-timeout-close-wait", "0s",
	}}
}

func coreDNS() processSpec {
	return processSpec{Argv: []string{program("coredns"), "-conf", filepath.Join(stateRoot, "Corefile")}}
}

// sweepRegistry frees what no tag names any more, the images of earlier versions; only while nobody pushes.
func sweepRegistry() error {
	if _, err := os.Stat(filepath.Join(keptDir(), "registry/docker/registry/v2/blobs")); os.IsNotExist(err) {
		return nil // nothing was ever pushed
	}
	command := exec.Command(program("registry"), "garbage-collect", "--delete-untagged", "--quiet", filepath.Join(stateRoot, "registry.yaml"))
	command.Env = registry().Env
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("sweeping the registry in %s: %s", keptDir(), output)
	}
	return nil
}

func registry() processSpec {
	return processSpec{
		Argv: []string{program("registry"), "serve", filepath.Join(stateRoot, "registry.yaml")},
		Env:  []string{"OTEL_TRACES_EXPORTER=none", "OTEL_METRICS_EXPORTER=none", "OTEL_LOGS_EXPORTER=none"},
	}
}
