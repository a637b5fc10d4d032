package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// down is the same whatever is still alive: killing the supervisor ends every process and mount of the cluster.
func down([]string) error {
	if err := lock(); err != nil {
		return err
	}
	if err := clean(); err != nil {
		return err
	}
	fmt.Println("the cluster is down; its logs stay in " + filepath.Join(stateRoot, "logs"))
	return nil
}

// clean removes processes, control groups and files of a cluster, running, half started or left by a crash.
func clean() error {
	if supervisor, err := readSupervisor(); err == nil {
		_ = syscall.Kill(supervisor.PID, syscall.SIGKILL)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			if _, err := readSupervisor(); err != nil {
				break
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("process %d, the cluster's supervisor, does not end", supervisor.PID)
			}
		}
	}
	if err := errors.Join(removeCgroups(name), removeClientsCgroup()); err != nil {
		return err
	}
	if err := os.RemoveAll(runtimeRoot); err != nil {
		return err
	}
	entries, err := os.ReadDir(stateRoot)
	if err != nil {
		if os.IsNotExist(err) {
			return nil
		}
		return err
	}
	for _, entry := range entries {
		if entry.Name() == "logs" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(stateRoot, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
