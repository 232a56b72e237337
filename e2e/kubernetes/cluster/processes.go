package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is the record of a component that was started. The start time tells it from another process that got the same
// id later, which must never be signalled.
type process struct {
	Name    string `json:"name"`
	PID     int    `json:"pid"`
	Started uint64 `json:"started"`
}

// processStat is what /proc/PID/stat says of a process.
type processStat struct {
	state   byte
	started uint64
}

// parseStat reads a line of /proc/PID/stat. The second field is the program's name in brackets and may itself hold
// blanks and brackets, so the fields are counted from its last closing bracket.
func parseStat(line string) (processStat, error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return processStat{}, fmt.Errorf("no program name in %q", line)
	}
	fields := strings.Fields(line[end+1:])
	const state, started = 0, 19
	if len(fields) <= started {
		return processStat{}, fmt.Errorf("too few fields in %q", line)
	}
	ticks, err := strconv.ParseUint(fields[started], 10, 64)
	return processStat{state: fields[state][0], started: ticks}, err
}

func readStat(pid int) (processStat, error) {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return processStat{}, err
	}
	return parseStat(string(line))
}

// alive tells whether the recorded process still runs. A zombie does not.
func (p process) alive() bool {
	stat, err := readStat(p.PID)
	return err == nil && stat.started == p.Started && stat.state != 'Z' && stat.state != 'X'
}

// signal sends a signal unless the process has ended.
func (p process) signal(signal syscall.Signal) {
	if p.alive() {
		// It may end between the two calls; there is nothing left to do then.
		_ = syscall.Kill(p.PID, signal)
	}
}

// stop asks the process to end, waits up to grace, and kills it.
func (p process) stop(grace time.Duration) error {
	p.signal(syscall.SIGTERM)
	gone := func() bool { return !p.alive() }
	if poll(grace, gone) {
		return nil
	}
	p.signal(syscall.SIGKILL)
	if !poll(10*time.Second, gone) {
		return fmt.Errorf("process %d (%s) does not end", p.PID, p.Name)
	}
	return nil
}

// residentBytes is the memory that the process occupies, 0 when it has ended.
func (p process) residentBytes() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return 0
	}
	return parseResident(string(status))
}

// parseResident finds VmRSS, given in kB, in the text of /proc/PID/status.
func parseResident(status string) int64 {
	for _, line := range strings.Split(status, "\n") {
		if value, found := strings.CutPrefix(line, "VmRSS:"); found {
			kilobytes, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(value, "kB")), 10, 64)
			if err == nil {
				return kilobytes * 1024
			}
		}
	}
	return 0
}

// === the records ===

func (l layout) processRecord(name string) string { return l.runtime("processes", name+".json") }

// recorded reads the record of a component; found is false when it was never started.
func (l layout) recorded(name string) (p process, found bool) {
	text, err := os.ReadFile(l.processRecord(name))
	if err != nil || json.Unmarshal(text, &p) != nil {
		return process{}, false
	}
	return p, true
}

// allRecorded reads every record, in the order of their names.
func (l layout) allRecorded() []process {
	files, _ := filepath.Glob(l.processRecord("*"))
	sort.Strings(files)
	var found []process
	for _, file := range files {
		if p, ok := l.recorded(strings.TrimSuffix(filepath.Base(file), ".json")); ok {
			found = append(found, p)
		}
	}
	return found
}

func (l layout) record(p process) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return writeFile(l.processRecord(p.Name), text, 0o600)
}

// === starting ===

// spawn starts a component in the node's network namespace and cgroup and in a session of its own, so that it outlives
// this command and its terminal, and records it. Its output is added to its log.
func (l layout) spawn(c component) (process, error) {
	if err := os.MkdirAll(filepath.Dir(l.log(c.name)), 0o755); err != nil {
		return process{}, err
	}
	log, err := os.OpenFile(l.log(c.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return process{}, err
	}
	defer log.Close()
	command := &exec.Cmd{
		Path:        c.program,
		Args:        append([]string{c.name}, c.args...),
		Dir:         "/",
		Stdout:      log,
		Stderr:      log,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := startInside(command); err != nil {
		return process{}, fmt.Errorf("%s does not start: %w", c.name, err)
	}
	// Reaped as soon as it ends, for as long as this command lives; afterwards that is for the machine's init to do.
	go func() { _ = command.Wait() }()
	stat, err := readStat(command.Process.Pid)
	if err != nil {
		return process{}, fmt.Errorf("%s ended at once, see %s: %w", c.name, l.log(c.name), err)
	}
	p := process{Name: c.name, PID: command.Process.Pid, Started: stat.started}
	if err := l.record(p); err != nil {
		// A process without a record could never be stopped.
		return process{}, errors.Join(err, p.stop(0))
	}
	return p, nil
}

// startInside starts a command from a thread that has joined the node's network namespace and cgroup: a child inherits
// both from the thread that forks it, so the process belongs there from its first instruction.
func startInside(command *exec.Cmd) error {
	return insideNetwork(func() error {
		release, err := joinCgroups(command.SysProcAttr)
		if err != nil {
			return err
		}
		defer release()
		return command.Start()
	})
}
