package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// isolateMounts runs in the supervisor's new mount namespace: what the cluster mounts, the machine never sees.
func isolateMounts() error {
	for _, step := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"", "/", "", unix.MS_REC | unix.MS_SHARED}, // a peer group of our own: pods may ask for mount propagation
		{"proc", "/proc", "proc", 0},
		// Programs with fixed paths write into these instead of the machine's.
		{runtimeRoot, stateRoot + "/run", "", unix.MS_BIND},
		{"tmpfs", "/run", "tmpfs", 0},
		{"tmpfs", "/var/log", "tmpfs", 0},
		{"tmpfs", "/var/lib/kubelet", "tmpfs", 0},
		{"tmpfs", "/var/lib/cni", "tmpfs", 0},
	} {
		if step.kind == "tmpfs" {
			if err := os.MkdirAll(step.target, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount(step.source, step.target, step.kind, step.flags, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", step.target, err)
		}
	}
	if err := os.Mkdir(runtimeRoot, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(stateRoot+"/run", runtimeRoot, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	return mountNames()
}

// mountNames puts the cluster's names in place of the machine's, whose name servers cannot be reached from here.
func mountNames() error {
	for _, file := range []string{"hosts", "resolv.conf"} {
		if err := unix.Mount(filepath.Join(stateRoot, "etc", file), "/etc/"+file, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting the cluster's /etc/%s: %w", file, err)
		}
	}
	return nil
}

// setUpNetwork runs in the supervisor's new network namespace. Pods are routed, not bridged, so that every packet
// passes kube-proxy's rules; the node addresses sit on a bridge without ports (a dummy device is not in every kernel).
func setUpNetwork() error {
	commands := [][]string{
		{"link", "set", "lo", "up"},
		{"link", "add", "node0", "type", "bridge"},
		{"link", "set", "node0", "up"},
		{"address", "add", controlAddress + "/24", "dev", "node0"},
		{"address", "add", dnsAddress + "/24", "dev", "node0"},
		{"route", "add", "default", "dev", "node0", "src", controlAddress},
	}
	for _, arguments := range commands {
		if output, err := exec.Command("ip", arguments...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %s", strings.Join(arguments, " "), output)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// execInside replaces this process by a command in the cluster's network, where /etc/hosts and /etc/resolv.conf
// are the cluster's. The command keeps the machine's processes and files.
func execInside(argv []string, environment []string) error {
	supervisor, err := readSupervisor()
	if err != nil {
		return err
	}
	if err := joinClientsCgroup(); err != nil {
		return err
	}
	// Namespaces belong to a thread; exec keeps those of the thread that calls it.
	runtime.LockOSThread()
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", supervisor.PID))
	if err != nil {
		return err
	}
	if err := unix.Setns(int(network.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the cluster's network: %w", err)
	}
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return err
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return err
	}
	if err := mountNames(); err != nil {
		return err
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, argv, environment)
}

// unmountBelow unmounts everything below a directory, the latest mount first.
func unmountBelow(directory string) error {
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	defer mounts.Close()
	var targets []string
	for scanner := bufio.NewScanner(mounts); scanner.Scan(); {
		if target := strings.Fields(scanner.Text())[4]; strings.HasPrefix(target, directory+"/") {
			targets = append(targets, target)
		}
	}
	for i := len(targets) - 1; i >= 0; i-- {
		_ = unix.Unmount(targets[i], unix.MNT_DETACH)
	}
	return nil
}
