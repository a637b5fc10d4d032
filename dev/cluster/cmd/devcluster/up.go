package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// startedAt travels through the environment, because `up` goes on as another program image.
const startedAt = "DEVCLUSTER_STARTED"

func report(format string, arguments ...any) {
	start, err := strconv.ParseInt(os.Getenv(startedAt), 10, 64)
	if err != nil {
		start = time.Now().UnixMilli()
	}
	elapsed := time.Since(time.UnixMilli(start)).Seconds()
	fmt.Printf("%6.1f s  %s\n", elapsed, fmt.Sprintf(format, arguments...))
}

// up is the part before the cluster has a network: clean what is stale, write files, start the supervisor.
func up([]string) error {
	if err := lock(); err != nil {
		return err
	}
	if problem := unhealthy(); problem == "" {
		fmt.Println("the cluster is up already; dev/cluster/devcluster status shows it")
		return nil
	} else if problem != notRunning {
		fmt.Printf("starting again from nothing: %s\n", problem)
	}
	os.Setenv(startedAt, fmt.Sprint(time.Now().UnixMilli()))
	if err := clean(); err != nil {
		return err
	}
	if err := os.RemoveAll(stateRoot); err != nil {
		return err
	}
	for _, directory := range []string{"logs", "pki", "run", "etc", "nodes", "volumes/local", "volumes/shared"} {
		if err := os.MkdirAll(filepath.Join(stateRoot, directory), 0o755); err != nil {
			return err
		}
	}
	for _, directory := range []string{runtimeRoot, filepath.Join(keptDir(), "registry")} {
		if err := os.MkdirAll(directory, 0o755); err != nil {
			return err
		}
	}
	for _, step := range []func() error{issueControlPlane, writeConfigs, writeStorageConfigs, startSupervisor} {
		if err := step(); err != nil {
			return err
		}
	}
	report("supervisor, network and certificates are ready")
	return run([]string{"up-inside"})
}

// upInside starts everything in the order in which each needs the other.
func upInside([]string) error {
	first, err := newNode(firstNode, nil, nil)
	if err != nil {
		return err
	}
	if err := sweepRegistry(); err != nil {
		return err
	}
	for _, process := range []struct {
		name string
		spec processSpec
	}{{"etcd", etcd()}, {"kube-apiserver", apiserver()}, {"registry", registry()}} {
		if err := startProcess(process.name, process.spec); err != nil {
			return err
		}
	}
	if err := first.startRuntime(); err != nil {
		return err
	}
	report("container runtime is ready")
	if err := waitFor("the API server", 60*time.Second, func() error { return kubectl(nil, "get", "--raw", "/readyz") }); err != nil {
		return err
	}
	report("API server is ready")
	manifests, err := json.Marshal(storageManifests())
	if err != nil {
		return err
	}
	rest := map[string]processSpec{
		"kube-controller-manager": controllerManager(), "kube-scheduler": scheduler(),
		"kube-proxy": kubeProxy(), "coredns": coreDNS(), first.kubeletProcess(): first.kubelet(),
	}
	for name, spec := range rest {
		if err := startProcess(name, spec); err != nil {
			return err
		}
	}
	if err := kubectl(manifests, "apply", "--server-side", "-f", "-"); err != nil {
		return err
	}
	for _, class := range storageClasses() {
		if err := startProcess("storage-"+class.name, class.process()); err != nil {
			return err
		}
	}
	report("storage classes are there")
	if err := first.waitReady(); err != nil {
		return err
	}
	if err := waitFor("the default service account", 60*time.Second, func() error {
		return kubectl(nil, "--namespace", "default", "get", "serviceaccount", "default")
	}); err != nil {
		return err
	}
	report("the cluster is up: Kubernetes %s, node %q, registry %s", kubernetesVersion(), firstNode, registryName)
	return nil
}

// kubectl runs with the admin's kubeconfig; its error carries what kubectl said.
func kubectl(input []byte, arguments ...string) error {
	command := exec.Command(program("kubectl"), append([]string{"--kubeconfig", adminConfig}, arguments...)...)
	command.Stdin = bytes.NewReader(input)
	output, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl %s: %s", strings.Join(arguments, " "), bytes.TrimSpace(output))
	}
	return nil
}

func kubernetesVersion() string {
	output, _ := exec.Command(program("kubectl"), "version", "--client").Output()
	_, version, _ := strings.Cut(string(output), "Client Version: ")
	version, _, _ = strings.Cut(version, "\n")
	return version
}

// waitFor tries until it works, a process of the cluster has ended, or the time is over.
func waitFor(what string, limit time.Duration, try func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := try()
		if err == nil {
			return nil
		}
		if problem := endedProcess(); problem != "" {
			return fmt.Errorf("waiting for %s: %s", what, problem)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s was not ready within %s: %w", what, limit, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
