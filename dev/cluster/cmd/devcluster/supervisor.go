package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"sort"
	"sync"
	"syscall"
	"time"
)

// The supervisor is process 1 of the cluster's own PID and mount namespaces. When it ends, however it ends, the
// kernel kills everything in the cluster and drops its mounts: nothing can be left behind, and no process outside
// the cluster can be killed by mistake.

// processSpec is what the supervisor needs to start one process.
type processSpec struct {
	Argv   []string `json:"argv"`
	Env    []string `json:"env,omitempty"`
	Cgroup string   `json:"cgroup,omitempty"` // a cgroup.procs file that the process and its children belong to
}

// environment is what every process of the cluster has. Go's collector takes a fifth of the API server's time by
// default; here processor time is scarcer than the memory that it saves.
func environment() []string {
	return []string{"PATH=" + binDir() + ":/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "GOGC=400"}
}

// processState is what the supervisor knows of one process.
type processState struct {
	Name    string    `json:"name"`
	PID     int       `json:"pid"` // inside the cluster's PID namespace
	Running bool      `json:"running"`
	Exit    string    `json:"exit,omitempty"`
	Stopped bool      `json:"stopped,omitempty"` // on request
	Started time.Time `json:"started"`
	Log     string    `json:"log"`
}

type supervised struct {
	state processState
	ended chan struct{}
}

type supervisor struct {
	mutex     sync.Mutex
	processes map[string]*supervised
	children  chan struct{} // wakes the reaper when the first child appears
}

// runSupervisor never returns normally: `down` kills it.
func runSupervisor() error {
	for _, step := range []func() error{joinSystemCgroup, isolateMounts, setUpNetwork} {
		if err := step(); err != nil {
			return err
		}
	}
	// A terminal's hang-up must not end the cluster.
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGPIPE)
	s := &supervisor{processes: map[string]*supervised{}, children: make(chan struct{}, 1)}
	listener, err := net.Listen("unix", controlSocket)
	if err != nil {
		return err
	}
	if err := os.Chmod(controlSocket, 0o600); err != nil {
		return err
	}
	go s.reap()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /processes", s.list)
	mux.HandleFunc("PUT /processes/{name}", s.start)
	mux.HandleFunc("DELETE /processes/{name}", s.stop)
	mux.HandleFunc("DELETE /nodes/{name}", s.clearNode)
	return http.Serve(listener, mux)
}

func (s *supervisor) list(response http.ResponseWriter, _ *http.Request) {
	s.mutex.Lock()
	states := make([]processState, 0, len(s.processes))
	for _, process := range s.processes {
		states = append(states, process.state)
	}
	s.mutex.Unlock()
	sort.Slice(states, func(i, j int) bool { return states[i].Name < states[j].Name })
	_ = json.NewEncoder(response).Encode(states)
}

func (s *supervisor) start(response http.ResponseWriter, request *http.Request) {
	var spec processSpec
	if err := json.NewDecoder(request.Body).Decode(&spec); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	name := request.PathValue("name")
	if known := s.processes[name]; known != nil && known.state.Running {
		http.Error(response, name+" is already running", http.StatusConflict)
		return
	}
	process, err := spawn(name, spec)
	if err != nil {
		http.Error(response, fmt.Sprintf("starting %s: %v", name, err), http.StatusInternalServerError)
		return
	}
	s.processes[name] = process
	select {
	case s.children <- struct{}{}:
	default:
	}
}

// spawn holds no *exec.Cmd afterwards: the reaper waits for all children, also for orphans it inherits.
func spawn(name string, spec processSpec) (*supervised, error) {
	log, err := os.OpenFile(logPath(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	fmt.Fprintf(log, "--- %s %q\n", time.Now().UTC().Format(time.RFC3339), spec.Argv)
	argv := spec.Argv
	if spec.Cgroup != "" {
		// The shell joins the group before it becomes the program: no child can escape in between.
		argv = append([]string{"/bin/sh", "-c", `echo $$ > "$0" && exec "$@"`, spec.Cgroup}, argv...)
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return nil, err
	}
	child, err := os.StartProcess(path, argv, &os.ProcAttr{
		Env:   append(environment(), spec.Env...),
		Files: []*os.File{nil, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return nil, err
	}
	state := processState{Name: name, PID: child.Pid, Running: true, Started: time.Now(), Log: logPath(name)}
	return &supervised{state: state, ended: make(chan struct{})}, nil
}

func (s *supervisor) stop(_ http.ResponseWriter, request *http.Request) {
	s.mutex.Lock()
	process := s.processes[request.PathValue("name")]
	s.mutex.Unlock()
	if process == nil {
		return
	}
	if request.URL.Query().Get("signal") != "KILL" {
		s.signal(process, syscall.SIGTERM)
		select {
		case <-process.ended:
			return
		case <-time.After(10 * time.Second):
		}
	}
	s.signal(process, syscall.SIGKILL)
	<-process.ended
}

// signal holds the mutex so that the reaper cannot free the process ID, for another process to get, in between.
func (s *supervisor) signal(process *supervised, signal syscall.Signal) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if process.state.Running {
		process.state.Stopped = true
		_ = syscall.Kill(process.state.PID, signal)
	}
}

// reap blocks in wait4 while there are children and on the channel while there are none.
func (s *supervisor) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			<-s.children
			continue
		}
		s.mutex.Lock()
		for _, process := range s.processes {
			if process.state.PID == pid && process.state.Running {
				process.state.Running = false
				process.state.Exit = describeExit(status)
				close(process.ended)
			}
		}
		s.mutex.Unlock()
	}
}

func describeExit(status syscall.WaitStatus) string {
	if status.Signaled() {
		return "signal: " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
