package main

import (
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// node is one kubelet with a container runtime of its own; all nodes share the cluster's network namespace.
type node struct {
	name   string
	number int // 1 is the first node; addresses follow from it
	labels []string
	taints []taint
}

// taint keeps pods away from a node, from its first moment on.
type taint struct {
	Key    string `json:"key"`
	Value  string `json:"value,omitempty"`
	Effect string `json:"effect"`
}

func (n node) address() string           { return fmt.Sprintf("%s%d", nodeNetwork, firstNodeHost+n.number) }
func (n node) directory() string         { return filepath.Join(stateRoot, "nodes", n.name) }
func (n node) runtimeDirectory() string  { return filepath.Join(runtimeRoot, n.name) }
func (n node) socket() string            { return filepath.Join(n.runtimeDirectory(), "containerd.sock") }
func (n node) kubeletProcess() string    { return "kubelet-" + n.name }
func (n node) containerdProcess() string { return "containerd-" + n.name }

// contentDirectory survives `down`: images pulled once are there at the next `up`. It goes by the node's number, because
// a node that a cloud gives has a name that was never used before, and would unpack gigabytes again.
func (n node) contentDirectory() string {
	folder := fmt.Sprintf("number-%d", n.number)
	if usual := []string{firstNode, "second"}; n.number <= len(usual) {
		folder = usual[n.number-1]
	}
	return filepath.Join(keptDir(), "containerd", folder)
}

// nodes lists the nodes of the running cluster by the numbers they were given.
func nodes() ([]node, error) {
	files, err := filepath.Glob(filepath.Join(stateRoot, "nodes/*/number"))
	if err != nil {
		return nil, err
	}
	var found []node
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		known := node{name: filepath.Base(filepath.Dir(file))}
		if _, err := fmt.Sscan(string(content), &known.number); err != nil {
			return nil, err
		}
		found = append(found, known)
	}
	return found, nil
}

func findNode(name string) (node, error) {
	known, err := nodes()
	if err != nil {
		return node{}, err
	}
	var names []string
	for _, candidate := range known {
		if candidate.name == name {
			return candidate, nil
		}
		names = append(names, candidate.name)
	}
	return node{}, fmt.Errorf("no node %q; there are: %s", name, strings.Join(names, ", "))
}

// newNode takes the lowest free number and writes all files of the node.
func newNode(name string, labels []string, taints []taint) (node, error) {
	known, err := nodes()
	if err != nil {
		return node{}, err
	}
	taken := map[int]bool{}
	for _, other := range known {
		if other.name == name {
			return node{}, fmt.Errorf("node %q exists already", name)
		}
		taken[other.number] = true
	}
	created := node{name: name, number: 1, labels: labels, taints: taints}
	for taken[created.number] {
		created.number++
	}
	return created, created.write()
}

func (n node) write() error {
	for _, directory := range []string{n.directory(), n.runtimeDirectory(), n.contentDirectory(), filepath.Join(n.directory(), "cni")} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
	}
	authority, err := loadAuthority()
	if err != nil {
		return err
	}
	user := pkix.Name{CommonName: "system:node:" + n.name, Organization: []string{"system:nodes"}}
	if _, err := authority.issueConfig("node-"+n.name, user); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(n.directory(), "kubelet.json"), n.kubeletConfig()); err != nil {
		return err
	}
	if err := writeJSON(filepath.Join(n.directory(), "cni/pods.conflist"), n.networkConfig()); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(n.directory(), "containerd.toml"), []byte(n.containerdConfig()), 0o644); err != nil {
		return err
	}
	if err := createNodeCgroups(n.name); err != nil {
		return err
	}
	// Last: the number is what makes it a node to the other verbs.
	return os.WriteFile(filepath.Join(n.directory(), "number"), []byte(fmt.Sprint(n.number)), 0o644)
}

func (n node) networkConfig() any {
	return map[string]any{"cniVersion": "1.0.0", "name": "pods", "plugins": []any{map[string]any{
		"type": "ptp", "ipMasq": false,
		"ipam": map[string]any{
			"type": "host-local", "dataDir": filepath.Join(n.directory(), "addresses"),
			"ranges": []any{[]any{map[string]any{"subnet": fmt.Sprintf("10.244.%d.0/24", n.number)}}},
			"routes": []any{map[string]any{"dst": "0.0.0.0/0"}},
		},
	}}}
}

func (n node) containerdConfig() string {
	return fmt.Sprintf(`version = 3
root = %q
state = %q
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]

[grpc]
  address = %q

[plugins."io.containerd.cri.v1.images"]
  # A layer is kept unpacked only: the registry still has the compressed one.
  discard_unpacked_layers = true
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = %q
  [plugins."io.containerd.cri.v1.images".registry]
    config_path = %q

[plugins."io.containerd.cri.v1.runtime"]
  # Without CAP_SYS_RESOURCE a negative score cannot be set; runc would fail.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = %q
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
`, n.contentDirectory(), filepath.Join(n.runtimeDirectory(), "containerd"), n.socket(), helperImage,
		filepath.Join(stateRoot, "certs.d"), filepath.Join(n.directory(), "cni"))
}

func (n node) kubeletConfig() any {
	return map[string]any{
		"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
		"address": n.address(), "healthzBindAddress": n.address(),
		"authentication":           map[string]any{"x509": map[string]any{"clientCAFile": pkiPath("ca.crt")}},
		"containerRuntimeEndpoint": "unix://" + n.socket(),
		"cgroupDriver":             "cgroupfs", "cgroupRoot": "/" + name + "/" + n.name,
		"enforceNodeAllocatable": []string{}, "failCgroupV1": false, "failSwapOn": false,
		"clusterDNS": []string{dnsAddress}, "clusterDomain": clusterDNS, "resolvConf": "",
		"podLogsDir":                    filepath.Join(n.directory(), "pod-logs"),
		"localStorageCapacityIsolation": true,
		// The disk is the machine's: what others fill must not evict pods, nor images that make the next run fast.
		"imageGCHighThresholdPercent": 100, "imageGCLowThresholdPercent": 99,
		"evictionHard": map[string]any{
			"memory.available": "100Mi", "nodefs.available": "1Gi", "imagefs.available": "1Gi"},
		"nodeLeaseDurationSeconds": 12, "nodeStatusUpdateFrequency": "4s",
		"serializeImagePulls": false, "registryPullQPS": 0, "eventRecordQPS": 0,
		"shutdownGracePeriod": "0s", "registerWithTaints": n.taints,
	}
}

func (n node) containerd() processSpec {
	return processSpec{
		Argv:   []string{program("containerd"), "--config", filepath.Join(n.directory(), "containerd.toml")},
		Cgroup: runtimeCgroup(n.name),
	}
}

// kubelet puts labels on a node only when it makes that: they need not be known when it is started again.
func (n node) kubelet() processSpec {
	return processSpec{Argv: []string{program("kubernetes"), "kubelet",
		"--node-labels", strings.Join(n.labels, ","),
		"--config", filepath.Join(n.directory(), "kubelet.json"),
		"--kubeconfig", kubeconfigPath("node-" + n.name),
		"--hostname-override", n.name, "--node-ip", n.address(),
		"--root-dir", filepath.Join(n.directory(), "kubelet"),
		"--cert-dir", filepath.Join(n.directory(), "kubelet/pki"),
	}}
}
