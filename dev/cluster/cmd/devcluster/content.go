package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// forgetContainers removes what an earlier cluster's containers left in a kept containerd root: images and unpacked
// layers stay. containerd's own garbage collection then frees the containers' writable layers.
func forgetContainers(root string) error {
	database := filepath.Join(root, "io.containerd.metadata.v1.bolt/meta.db")
	if _, err := os.Stat(database); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	store, err := bbolt.Open(database, 0o644, &bbolt.Options{Timeout: 5 * time.Second})
	if err != nil {
		return fmt.Errorf("opening %s: %w", database, err)
	}
	defer store.Close()
	err = store.Update(func(transaction *bbolt.Tx) error {
		version := transaction.Bucket([]byte("v1"))
		if version == nil {
			return nil
		}
		return version.ForEachBucket(func(namespace []byte) error {
			for _, kind := range []string{"containers", "sandboxes", "leases"} {
				err := version.Bucket(namespace).DeleteBucket([]byte(kind))
				if err != nil && !errors.Is(err, bbolt.ErrBucketNotFound) {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("forgetting old containers in %s: %w", database, err)
	}
	return errors.Join(
		os.RemoveAll(filepath.Join(root, "io.containerd.grpc.v1.cri")),
		os.RemoveAll(filepath.Join(root, "io.containerd.sandbox.controller.v1.shim")),
	)
}
