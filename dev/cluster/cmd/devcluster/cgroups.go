package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cgroupMounts lists every mounted control group hierarchy: one with version 2, one a controller with version 1.
func cgroupMounts() ([]string, error) {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer mounts.Close()
	var found []string
	for scanner := bufio.NewScanner(mounts); scanner.Scan(); {
		before, after, _ := strings.Cut(scanner.Text(), " - ")
		if kind := strings.Fields(after)[0]; kind == "cgroup" || kind == "cgroup2" {
			found = append(found, strings.Fields(before)[4])
		}
	}
	return found, nil
}

// createNodeCgroups makes the kubelet's root group, which it wants to find, and the group of the container runtime.
func createNodeCgroups(node string) error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		for _, group := range []string{name + "/" + node, name + "/" + node + ".runtime"} {
			if err := createCgroup(filepath.Join(mount, group)); err != nil {
				return err
			}
		}
		if _, err := weigh(filepath.Join(mount, name+"/"+node+".runtime"), systemWeight); err != nil {
			return err
		}
	}
	return nil
}

// joinSystemCgroup puts this process, and so all that it starts, into a group that pods cannot starve: without it an
// API server beside eight busy trainers answered a request after 20 s.
func joinSystemCgroup() error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		whole := filepath.Join(mount, name)
		if err := createCgroup(whole); err != nil {
			return err
		}
		if _, err := weigh(whole, clusterWeight); err != nil {
			return err
		}
		if err := join(filepath.Join(whole, "system"), systemWeight); err != nil {
			return err
		}
	}
	return nil
}

// joinClientsCgroup puts this process, and so all that it starts, into a group beside the cluster that weighs as
// much: without it each kubectl beside eight busy trainers was answered after many seconds.
func joinClientsCgroup() error {
	mounts, err := cgroupMounts()
	if err != nil {
		return err
	}
	for _, mount := range mounts {
		if err := join(filepath.Join(mount, clients), clusterWeight); err != nil {
			return err
		}
	}
	return nil
}

// removeClientsCgroup lets the clients that are left, such as an open shell, go to where they came from.
func removeClientsCgroup() error {
	directories, err := cgroupTrees(clients)
	if err != nil {
		return err
	}
	for _, directory := range directories {
		content, _ := os.ReadFile(filepath.Join(directory, "cgroup.procs"))
		for _, pid := range strings.Fields(string(content)) {
			_ = os.WriteFile(filepath.Join(filepath.Dir(directory), "cgroup.procs"), []byte(pid), 0o644)
		}
	}
	return removeCgroups(clients)
}

// join makes a group and moves this process there, where the hierarchy is that of the processors.
func join(group string, chosen weight) error {
	if err := createCgroup(group); err != nil {
		return err
	}
	weighed, err := weigh(group, chosen)
	if err != nil || !weighed {
		return err
	}
	return os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0o644)
}

func createCgroup(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	return inherit(directory)
}

// A weight is a group's share of the processors by the file that sets it: of control groups version 1, and of
// version 2.
type weight map[string]string

var (
	// The whole cluster weighs as much as eight busy processes outside: as one of many, it starves beside any build.
	clusterWeight = weight{"cpu.shares": "8192", "cpu.weight": "800"}
	// In it, what runs the cluster weighs sixteen times as much as the pods of a node: it needs little, and soon.
	systemWeight = weight{"cpu.shares": "16384", "cpu.weight": "1600"}
)

// weigh says whether the hierarchy is that of the processors.
func weigh(directory string, chosen weight) (bool, error) {
	found := false
	for file, value := range chosen {
		path := filepath.Join(directory, file)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		found = true
		if err := os.WriteFile(path, []byte(value), 0o644); err != nil {
			return true, err
		}
	}
	return found, nil
}

// inherit gives a new group what its parent has; in a fresh one nothing can run, or nothing can be limited.
func inherit(directory string) error {
	parent := filepath.Dir(directory)
	if controllers, err := os.ReadFile(filepath.Join(parent, "cgroup.controllers")); err == nil { // version 2
		for _, controller := range strings.Fields(string(controllers)) {
			// One at a time: a controller that cannot be handed on must not keep the others back.
			_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte("+"+controller), 0o644)
		}
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} { // version 1
		inherited, err := os.ReadFile(filepath.Join(parent, file))
		if os.IsNotExist(err) {
			continue // a hierarchy without this controller
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(directory, file), inherited, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// runtimeCgroup is the file that puts a process into the group of a node's container runtime. One hierarchy is
// enough: the group only says which shims belong to the node.
func runtimeCgroup(node string) string {
	for _, mount := range []string{"/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		file := filepath.Join(mount, name, node+".runtime", "cgroup.procs")
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	return ""
}

// cgroupTrees lists the directories of a group and its descendants in all hierarchies, the deepest first.
func cgroupTrees(group string) ([]string, error) {
	mounts, err := cgroupMounts()
	if err != nil {
		return nil, err
	}
	var directories []string
	for _, mount := range mounts {
		_ = filepath.WalkDir(filepath.Join(mount, group), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				directories = append([]string{path}, directories...)
			}
			return nil
		})
	}
	return directories, nil
}

// processesIn lists the processes of a group and its descendants.
func processesIn(group string) ([]int, error) {
	directories, err := cgroupTrees(group)
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, directory := range directories {
		content, _ := os.ReadFile(filepath.Join(directory, "cgroup.procs"))
		for _, field := range strings.Fields(string(content)) {
			if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}

// removeCgroups removes a group and its descendants. Killed processes take a moment to leave: it waits for 10 s.
func removeCgroups(group string) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		directories, err := cgroupTrees(group)
		if err != nil || len(directories) == 0 {
			return err
		}
		for _, directory := range directories {
			err = os.Remove(directory)
		}
		if err != nil && time.Now().After(deadline) {
			return fmt.Errorf("control group %s still has processes: %w", group, err)
		}
		if err != nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
}
