package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const notRunning = "it is not running"

// statusReport is the answer of `status --json`; tests and the demo read their paths and addresses here.
type statusReport struct {
	Running         bool           `json:"running"`
	Problem         string         `json:"problem,omitempty"`
	Supervisor      int            `json:"supervisor,omitempty"`
	Kubeconfig      string         `json:"kubeconfig"`
	Context         string         `json:"context"`
	APIServer       string         `json:"apiServer"`
	AuditLog        string         `json:"auditLog"`
	Logs            string         `json:"logs"`
	Registry        string         `json:"registry"`
	RegistryAddress string         `json:"registryAddress"`
	DNS             string         `json:"dns"`
	Programs        string         `json:"programs"`
	Nodes           []nodeReport   `json:"nodes"`
	Processes       []processState `json:"processes"`
}

type nodeReport struct {
	Name       string `json:"name"`
	Address    string `json:"address"`
	Containerd string `json:"containerd"` // its socket
	CgroupRoot string `json:"cgroupRoot"`
}

// unhealthy says in one line why `up` has work to do, or nothing.
func unhealthy() string {
	if _, err := readSupervisor(); err != nil {
		if _, err := os.Stat(runtimeRoot); err == nil {
			return "an earlier cluster ended without cluster-down"
		}
		return notRunning
	}
	if problem := endedProcess(); problem != "" {
		return problem
	}
	processes, err := listProcesses()
	if err != nil {
		return "its supervisor does not answer"
	}
	if len(processes) == 0 || !hasProcess(processes, "storage-shared") {
		return "an earlier cluster-up did not finish"
	}
	return ""
}

func hasProcess(processes []processState, name string) bool {
	for _, process := range processes {
		if process.Name == name {
			return true
		}
	}
	return false
}

// endedProcess names a process that has ended without being asked to, and quotes the end of its log.
func endedProcess() string {
	processes, err := listProcesses()
	if err != nil {
		return ""
	}
	for _, process := range processes {
		if !process.Running && !process.Stopped {
			return fmt.Sprintf("%s ended (%s); %s says: %s", process.Name, process.Exit, process.Log, lastLine(process.Log))
		}
	}
	return ""
}

func lastLine(path string) string {
	content, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return lines[len(lines)-1]
}

func gather() (statusReport, error) {
	report := statusReport{
		Kubeconfig: adminConfig, Context: name, APIServer: apiServerURL, AuditLog: auditLog,
		Logs: filepath.Join(stateRoot, "logs"), Registry: registryName, RegistryAddress: registryAddress,
		DNS: dnsAddress, Problem: unhealthy(), Nodes: []nodeReport{}, Processes: []processState{},
	}
	supervisor, err := readSupervisor()
	if err != nil {
		return report, nil
	}
	report.Running, report.Supervisor, report.Programs = true, supervisor.PID, supervisor.Programs
	if report.Processes, err = listProcesses(); err != nil {
		return report, err
	}
	outside := machinePIDs(supervisor.PID)
	for i := range report.Processes {
		report.Processes[i].PID = outside[report.Processes[i].PID]
	}
	known, err := nodes()
	for _, node := range known {
		report.Nodes = append(report.Nodes, nodeReport{node.name, node.address(), node.socket(), "/" + name + "/" + node.name})
	}
	return report, err
}

func status(arguments []string) error {
	report, err := gather()
	if err != nil {
		return err
	}
	if len(arguments) == 1 && arguments[0] == "--json" {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	if !report.Running {
		return errNotRunning
	}
	fmt.Printf("%-24s %-8s %-10s %s\n", "PROCESS", "PID", "RUNNING", "LOG")
	for _, process := range report.Processes {
		state := time.Since(process.Started).Round(time.Second).String()
		if !process.Running {
			state = process.Exit
		}
		fmt.Printf("%-24s %-8d %-10s %s\n", process.Name, process.PID, state, process.Log)
	}
	for _, node := range report.Nodes {
		fmt.Printf("node %s at %s, containerd %s\n", node.Name, node.Address, node.Containerd)
	}
	fmt.Printf("registry %s (%s), DNS %s, API %s\n", report.Registry, report.RegistryAddress, report.DNS, report.APIServer)
	fmt.Printf("kubeconfig %s, audit log %s\n", report.Kubeconfig, report.AuditLog)
	if report.Problem != "" {
		return errors.New(report.Problem)
	}
	return nil
}

// execute runs a command of the user's in the cluster's network.
func execute(arguments []string) error {
	if len(arguments) > 0 && arguments[0] == "--" {
		arguments = arguments[1:]
	}
	if len(arguments) == 0 {
		return errors.New("usage: devcluster exec -- COMMAND…")
	}
	os.Setenv("KUBECONFIG", adminConfig)
	os.Setenv("PATH", binDir()+":"+os.Getenv("PATH"))
	if _, err := readSupervisor(); err != nil {
		return err
	}
	if _, err := exec.LookPath(arguments[0]); err != nil {
		return err
	}
	return execInside(arguments, os.Environ())
}
