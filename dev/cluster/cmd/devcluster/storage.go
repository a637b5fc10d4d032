package main

import (
	"path/filepath"
)

// A storage class of the development cluster is one local-path-provisioner with one directory behind it.
type storageClass struct {
	name        string
	provisioner string
	isDefault   string // the annotation's value
	config      map[string]any
}

// storageClasses: "local-path" belongs to the node that a pod first runs on; "shared" is the same directory on every
// node, which is true here because all nodes run on this machine.
func storageClasses() []storageClass {
	return []storageClass{
		{"local-path", "rancher.io/local-path", "true", map[string]any{"nodePathMap": []any{map[string]any{
			"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": []string{filepath.Join(stateRoot, "volumes/local")}}}}},
		{"shared", "finetune.dev/shared-path", "false", map[string]any{
			"sharedFileSystemPath": filepath.Join(stateRoot, "volumes/shared")}},
	}
}

const storageNamespace = "local-path-storage"

// process runs the provisioner outside any pod; only its helpers, which make and remove directories, are pods.
func (class storageClass) process() processSpec {
	return processSpec{Argv: []string{program("local-path-provisioner"), "start",
		"--kubeconfig", adminConfig, "--namespace", storageNamespace,
		"--provisioner-name", class.provisioner, "--config", class.configPath(),
		"--configmap-name", "local-path-scripts", "--service-account-name", "default",
		"--helper-image", helperImage, "--helper-pod-file", filepath.Join(stateRoot, "helper-pod.json"),
	}}
}

func (class storageClass) configPath() string {
	return filepath.Join(stateRoot, class.name+".json")
}

func (class storageClass) manifest() any {
	return map[string]any{
		"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
		"metadata": map[string]any{"name": class.name, "annotations": map[string]any{
			"storageclass.kubernetes.io/is-default-class": class.isDefault}},
		"provisioner": class.provisioner, "volumeBindingMode": "WaitForFirstConsumer", "reclaimPolicy": "Delete",
	}
}

func writeStorageConfigs() error {
	for _, class := range storageClasses() {
		if err := writeJSON(class.configPath(), class.config); err != nil {
			return err
		}
	}
	return writeJSON(filepath.Join(stateRoot, "helper-pod.json"), map[string]any{
		"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{"name": "helper-pod"},
		"spec": map[string]any{
			"priorityClassName": "system-node-critical", "terminationGracePeriodSeconds": 0,
			// Which a kubelet says of its node. The provisioner lets its helpers tolerate every taint, and those that
			// remove a shared directory go to any node: one that a test only simulates would never run them.
			"nodeSelector":    map[string]any{"kubernetes.io/os": "linux"},
			"securityContext": map[string]any{"runAsUser": 0},
			"containers":      []any{map[string]any{"name": "helper-pod", "image": helperImage}},
		},
	})
}

// storageManifests is what the provisioners need to find in the cluster.
func storageManifests() any {
	items := []any{
		map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{
			"name": storageNamespace, "labels": map[string]any{"pod-security.kubernetes.io/enforce": "privileged"}}},
		map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": "local-path-scripts", "namespace": storageNamespace},
			"data": map[string]any{
				"setup":    "#!/bin/sh\nmkdir -m 0777 -p \"$VOL_DIR\"\n",
				"teardown": "#!/bin/sh\nrm -rf \"$VOL_DIR\"\n",
			}},
	}
	for _, class := range storageClasses() {
		items = append(items, class.manifest())
	}
	return map[string]any{"apiVersion": "v1", "kind": "List", "items": items}
}
