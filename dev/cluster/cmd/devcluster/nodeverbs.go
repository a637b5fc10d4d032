package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startRuntime starts the node's containerd and gives it the image that every pod needs.
func (n node) startRuntime() error {
	if err := forgetContainers(n.contentDirectory()); err != nil {
		return err
	}
	if output, err := exec.Command("ip", "address", "replace", n.address()+"/24", "dev", "node0").CombinedOutput(); err != nil {
		return fmt.Errorf("giving the node its address: %s", output)
	}
	if err := startProcess(n.containerdProcess(), n.containerd()); err != nil {
		return err
	}
	archive, err := writeHelperImage()
	if err != nil {
		return err
	}
	return waitFor("containerd of "+n.name, 30*time.Second, func() error { return n.importArchive(archive) })
}

func (n node) importArchive(archive string) error {
	output, err := exec.Command(program("ctr"), "--address", n.socket(), "--namespace", "k8s.io",
		"--connect-timeout", "2s", "images", "import", archive).CombinedOutput()
	if err != nil {
		return fmt.Errorf("importing %s into node %s: %s", archive, n.name, output)
	}
	return nil
}

func (n node) waitReady() error {
	return waitFor("node "+n.name, 60*time.Second, func() error {
		return kubectl(nil, "wait", "--for=condition=Ready", "node/"+n.name, "--timeout=30s")
	})
}

func changeNode(arguments []string) error {
	if len(arguments) < 2 || (len(arguments) > 2 && arguments[0] != "add") {
		return errors.New("usage: devcluster node add|remove|stop-kubelet|start-kubelet NAME")
	}
	if err := lock(); err != nil {
		return err
	}
	if arguments[0] == "add" {
		return addNode(arguments[1], arguments[2:])
	}
	chosen, err := findNode(arguments[1])
	if err != nil {
		return err
	}
	switch arguments[0] {
	case "remove":
		return chosen.remove()
	case "stop-kubelet":
		// As when the machine is lost to the cluster: nothing is said to the API server, containers keep running.
		return stopProcess(chosen.kubeletProcess(), true)
	case "start-kubelet":
		if err := startProcess(chosen.kubeletProcess(), chosen.kubelet()); err != nil {
			return err
		}
		return chosen.waitReady()
	}
	return fmt.Errorf("no such change of a node: %q", arguments[0])
}

// addNode starts a node that has labels and taints before any pod can see it, as one that a cloud gives.
func addNode(name string, options []string) error {
	var labels []string
	var taints []taint
	flags := flag.NewFlagSet("devcluster node add "+name, flag.ContinueOnError)
	flags.Func("label", "KEY=VALUE, which the node has from the beginning; may be repeated", func(text string) error {
		labels = append(labels, text)
		return nil
	})
	flags.Func("taint", "KEY=VALUE:EFFECT, likewise", func(text string) error {
		parsed, err := parseTaint(text)
		taints = append(taints, parsed)
		return err
	})
	if err := flags.Parse(options); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("node add NAME [--label KEY=VALUE]… [--taint KEY=VALUE:EFFECT]…: what is %q?", flags.Arg(0))
	}
	added, err := newNode(name, labels, taints)
	if err != nil {
		return err
	}
	if err := added.startRuntime(); err != nil {
		return err
	}
	if err := startProcess(added.kubeletProcess(), added.kubelet()); err != nil {
		return err
	}
	if err := added.waitReady(); err != nil {
		return err
	}
	fmt.Printf("node %q is ready at %s\n", name, added.address())
	return nil
}

func parseTaint(text string) (taint, error) {
	pair, effect, found := strings.Cut(text, ":")
	if !found {
		return taint{}, errors.New("a taint is KEY=VALUE:EFFECT")
	}
	key, value, _ := strings.Cut(pair, "=")
	return taint{key, value, effect}, nil
}

func (n node) remove() error {
	if n.name == firstNode {
		return errors.New("the first node stays: make cluster-down stops the cluster")
	}
	if err := kubectl(nil, "delete", "node", n.name, "--ignore-not-found"); err != nil {
		return err
	}
	for _, process := range []string{n.kubeletProcess(), n.containerdProcess()} {
		if err := stopProcess(process, true); err != nil {
			return err
		}
	}
	if _, err := control(http.MethodDelete, "/nodes/"+n.name, nil, 30*time.Second); err != nil {
		return err
	}
	if output, err := exec.Command("ip", "address", "delete", n.address()+"/24", "dev", "node0").CombinedOutput(); err != nil {
		return fmt.Errorf("taking the node's address away: %s", output)
	}
	if err := errors.Join(os.RemoveAll(n.directory()), os.RemoveAll(n.runtimeDirectory())); err != nil {
		return err
	}
	fmt.Printf("node %q is gone\n", n.name)
	return nil
}

// clearNode runs in the supervisor, which sees the cluster's mounts: it ends a node's containers and their shims.
func (s *supervisor) clearNode(response http.ResponseWriter, request *http.Request) {
	node := request.PathValue("name")
	err := errors.Join(killAll(name+"/"+node+".runtime"), killAll(name+"/"+node))
	for _, directory := range []string{filepath.Join(stateRoot, "nodes", node), filepath.Join(runtimeRoot, node)} {
		err = errors.Join(err, unmountBelow(directory))
	}
	err = errors.Join(err, removeCgroups(name+"/"+node), removeCgroups(name+"/"+node+".runtime"))
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	delete(s.processes, "kubelet-"+node)
	delete(s.processes, "containerd-"+node)
}

// killAll kills what is in a control group until nothing is left, for a dying process may have just forked.
func killAll(group string) error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		pids, err := processesIn(group)
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	return fmt.Errorf("processes of %s do not end", group)
}

func changeRegistry(arguments []string) error {
	if _, err := readSupervisor(); err != nil {
		return err
	}
	if len(arguments) == 1 && arguments[0] == "stop" {
		return stopProcess("registry", false)
	}
	if len(arguments) == 1 && arguments[0] == "start" {
		return startProcess("registry", registry())
	}
	return errors.New("usage: devcluster registry stop|start")
}

func importImages(archives []string) error {
	known, err := nodes()
	if err != nil {
		return err
	}
	for _, archive := range archives {
		for _, node := range known {
			if err := node.importArchive(archive); err != nil {
				return err
			}
		}
	}
	return nil
}
