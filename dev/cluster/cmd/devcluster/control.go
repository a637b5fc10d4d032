package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// supervisorRecord names one process for good: a process ID alone is used again.
type supervisorRecord struct {
	PID       int    `json:"pid"`
	StartTime string `json:"startTime"` // clock ticks since boot
	BootID    string `json:"bootID"`
	Programs  string `json:"programs"`
}

var errNotRunning = errors.New("the cluster is not running: make cluster-up starts it")

// readSupervisor returns the running supervisor or errNotRunning.
func readSupervisor() (supervisorRecord, error) {
	var record supervisorRecord
	content, err := os.ReadFile(supervisorPID)
	if err != nil || json.Unmarshal(content, &record) != nil {
		return record, errNotRunning
	}
	if startTime, alive := processStart(record.PID); !alive || startTime != record.StartTime || bootID() != record.BootID {
		return record, errNotRunning
	}
	return record, nil
}

// processStart gives a process's start time, and whether it is alive (a zombie is not).
func processStart(pid int) (string, bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", false
	}
	// The command in parentheses may hold spaces; field 3 comes after it, the start time is field 22.
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	return fields[19], fields[0] != "Z" && fields[0] != "X"
}

func bootID() string {
	content, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(content))
}

// startSupervisor starts the supervisor in new PID, mount, IPC and network namespaces and waits until it answers.
func startSupervisor() error {
	log, err := os.OpenFile(logPath("supervisor"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := exec.Command(self, "supervise")
	command.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "DEVCLUSTER_BIN=" + binDir(), "DEVCLUSTER_NAME=" + name}
	command.Stdout, command.Stderr, command.Dir = log, log, "/"
	command.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
	}
	if err := command.Start(); err != nil {
		return err
	}
	startTime, _ := processStart(command.Process.Pid)
	record := supervisorRecord{command.Process.Pid, startTime, bootID(), binDir()}
	if err := writeJSON(supervisorPID, record); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("the supervisor ended: %v; see %s", err, logPath("supervisor"))
		case <-time.After(20 * time.Millisecond):
			if _, err := listProcesses(); err == nil {
				return nil
			}
		}
	}
}

// control speaks to the supervisor through its socket, which belongs to root alone.
func control(method, path string, body any, timeout time.Duration) ([]byte, error) {
	client := http.Client{Timeout: timeout, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", controlSocket)
		},
	}}
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequest(method, "http://supervisor"+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	return answer, err
}

func listProcesses() ([]processState, error) {
	answer, err := control("GET", "/processes", nil, 5*time.Second)
	if err != nil {
		return nil, err
	}
	var states []processState
	return states, json.Unmarshal(answer, &states)
}

func startProcess(name string, spec processSpec) error {
	_, err := control("PUT", "/processes/"+name, spec, 5*time.Second)
	return err
}

// stopProcess returns when the process has ended; force is SIGKILL at once, as when a machine is lost.
func stopProcess(name string, force bool) error {
	path := "/processes/" + name
	if force {
		path += "?signal=KILL"
	}
	_, err := control("DELETE", path, nil, 20*time.Second)
	return err
}

// machinePIDs maps process IDs of the cluster's namespace to the machine's, for people who look from outside.
func machinePIDs(supervisor int) map[int]int {
	own, _ := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid_for_children", supervisor))
	found := map[int]int{}
	directories, _ := filepath.Glob("/proc/[0-9]*")
	for _, directory := range directories {
		if space, err := os.Readlink(directory + "/ns/pid"); err != nil || space != own {
			continue
		}
		status, _ := os.ReadFile(directory + "/status")
		_, rest, _ := strings.Cut(string(status), "NSpid:")
		line, _, _ := strings.Cut(rest, "\n")
		if ids := strings.Fields(line); len(ids) > 1 {
			outer, _ := strconv.Atoi(filepath.Base(directory))
			inner, _ := strconv.Atoi(ids[len(ids)-1])
			found[inner] = outer
		}
	}
	return found
}
