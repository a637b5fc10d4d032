package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// helperImage holds Debian's static busybox and nothing else. It is the pod sandbox and the storage helper, and good
// for tests that need a container of two megabytes.
const helperImage = "localhost/devcluster/busybox:1"

const busybox = "/bin/busybox"

// writeHelperImage writes the image as an OCI archive, which containerd imports, and returns its path.
func writeHelperImage() (string, error) {
	program, err := os.ReadFile(busybox)
	if err != nil {
		return "", err
	}
	var layer bytes.Buffer
	writer := tar.NewWriter(&layer)
	for _, directory := range []string{"bin/", "tmp/"} {
		if err := writer.WriteHeader(&tar.Header{Name: directory, Typeflag: tar.TypeDir, Mode: 0o1777}); err != nil {
			return "", err
		}
	}
	if err := addFile(writer, "bin/busybox", 0o755, program); err != nil {
		return "", err
	}
	for _, applet := range []string{"sh", "mkdir", "rm", "chmod", "cat", "echo", "ls", "sleep", "true", "false", "wget", "nc", "httpd", "nslookup"} {
		link := &tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}
		if err := writer.WriteHeader(link); err != nil {
			return "", err
		}
	}
	if err := writer.Close(); err != nil {
		return "", err
	}
	path := filepath.Join(stateRoot, "helper-image.tar")
	return path, os.WriteFile(path, ociArchive(layer.Bytes()), 0o644)
}

// ociArchive wraps one uncompressed layer into an image of the OCI image layout.
func ociArchive(layer []byte) []byte {
	var archive bytes.Buffer
	writer := tar.NewWriter(&archive)
	add := func(kind string, content []byte) map[string]any {
		digest := fmt.Sprintf("%x", sha256.Sum256(content))
		_ = addFile(writer, "blobs/sha256/"+digest, 0o644, content) // a bytes.Buffer does not fail
		return map[string]any{"mediaType": "application/vnd.oci.image." + kind, "digest": "sha256:" + digest, "size": len(content)}
	}
	encode := func(value any) []byte { content, _ := json.Marshal(value); return content }
	layerDescriptor := add("layer.v1.tar", layer)
	config := add("config.v1+json", encode(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/bin/busybox", "sleep", "2147483647"}, "Env": []string{"PATH=/bin"}, "User": "65532"},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []any{layerDescriptor["digest"]}},
	}))
	manifest := add("manifest.v1+json", encode(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": config, "layers": []any{layerDescriptor},
	}))
	manifest["annotations"] = map[string]any{"io.containerd.image.name": helperImage}
	_ = addFile(writer, "index.json", 0o644, encode(map[string]any{"schemaVersion": 2, "manifests": []any{manifest}}))
	_ = addFile(writer, "oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`))
	_ = writer.Close()
	return archive.Bytes()
}

func addFile(writer *tar.Writer, name string, mode int64, content []byte) error {
	if err := writer.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(content))}); err != nil {
		return err
	}
	_, err := writer.Write(content)
	return err
}
