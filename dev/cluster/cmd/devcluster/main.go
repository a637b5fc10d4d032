// Command devcluster runs a real Kubernetes on this machine, for tests and the demo. dev/cluster/devcluster builds
// and calls it, having seen that it is root and has what it needs; docs/development.md tells how to use it.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sort"
	"syscall"

	"golang.org/x/sys/unix"
)

// verb is one word of the command line.
type verb struct {
	arguments string
	help      string
	inside    bool // runs in the cluster's network
	run       func(arguments []string) error
}

func verbs() map[string]verb {
	return map[string]verb{
		"up":        {"", "start the cluster, or say that it is up", false, up},
		"up-inside": {"", "", true, upInside},
		"down":      {"", "stop it and leave nothing behind", false, down},
		"status":    {"[--json]", "show what runs, and where its logs are", false, status},
		"exec":      {"-- COMMAND…", "run a command in the cluster's network, with its kubeconfig", false, execute},
		"node":      {"add|remove|stop-kubelet|start-kubelet NAME", "change the nodes; add takes --label K=V, --taint K=V:EFFECT", true, changeNode},
		"registry":  {"stop|start", "take the registry away, bring it back", false, changeRegistry},
		"kill":      {"etcd|kube-apiserver|…", "kill -9 a process of the control plane, and start it again", false, killControlPlane},
		"import":    {"ARCHIVE…", "load image archives into every node", false, importImages},
		"supervise": {"", "", false, func([]string) error { return runSupervisor() }},
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) || len(exit.Stderr) > 0 {
			fmt.Fprintln(os.Stderr, "devcluster:", err)
		}
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) == 0 {
		return usage()
	}
	chosen, known := verbs()[arguments[0]]
	if !known {
		return usage()
	}
	const mark = "DEVCLUSTER_INSIDE"
	if chosen.inside && os.Getenv(mark) == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if err := keepLock(); err != nil {
			return err
		}
		return execInside(append([]string{self}, arguments...), append(os.Environ(), mark+"=1"))
	}
	return chosen.run(arguments[1:])
}

func usage() error {
	known := verbs()
	var names []string
	for name, verb := range known {
		if verb.help != "" {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	fmt.Fprintln(os.Stderr, "usage: devcluster VERB")
	for _, name := range names {
		fmt.Fprintf(os.Stderr, "  %-62s %s\n", name+" "+known[name].arguments, known[name].help)
	}
	return errors.New("no such verb")
}

// lockFile is held until the process ends.
var lockFile *os.File

// lock keeps two callers from changing the cluster at the same time.
func lock() error {
	var err error
	if lockFile, err = os.OpenFile(lockPath, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return err
	}
	if syscall.Flock(int(lockFile.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return nil
	}
	fmt.Println("waiting for another devcluster command to finish")
	return syscall.Flock(int(lockFile.Fd()), syscall.LOCK_EX)
}

// keepLock hands the lock on to the program that this process is about to become, and to no child.
func keepLock() error {
	if lockFile == nil {
		return nil
	}
	_, err := unix.FcntlInt(lockFile.Fd(), unix.F_SETFD, 0)
	return err
}
