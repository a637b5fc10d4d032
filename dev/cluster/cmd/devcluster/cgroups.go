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
		for _, group := range []string{name, name + "/" + node, name + "/" + node + ".runtime"} {
			directory := filepath.Join(mount, group)
			if err := os.MkdirAll(directory, 0o755); err != nil {
				return err
			}
			if err := inherit(directory); err != nil {
				return err
			}
		}
		if err := weigh(filepath.Join(mount, name)); err != nil {
			return err
		}
	}
	return nil
}

// weights lets all pods together weigh as much as eight busy processes outside: as one of many, a cluster starves beside
// any build. The files exist in the hierarchy of the processors only, in version 1 and version 2.
var weights = map[string]string{"cpu.shares": "8192", "cpu.weight": "800"}

func weigh(directory string) error {
	for file, weight := range weights {
		path := filepath.Join(directory, file)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if err := os.WriteFile(path, []byte(weight), 0o644); err != nil {
			return err
		}
	}
	return nil
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
