package cluster

import (
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestStatIsReadPastBracketsInTheProgramsName(t *testing.T) {
	line := "4242 (odd) name (x) S 1 4242 4242 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 9 0 987654 1000 200 18446744073709551615"
	stat, err := parseStat(line)
	if err != nil {
		t.Fatal(err)
	}
	if stat.state != 'S' || stat.started != 987654 {
		t.Errorf("got state %c, start %d", stat.state, stat.started)
	}
	for _, bad := range []string{"", "1 (x) S 1 2"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestResidentMemoryIsInBytes(t *testing.T) {
	if got := parseResident("VmPeak:\t  9 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n"); got != 2048*1024 {
		t.Errorf("got %d", got)
	}
	if got := parseResident("Name:\tx\n"); got != 0 {
		t.Errorf("a process without memory has %d", got)
	}
}

// sleeper starts a process that the test may do with as it likes.
func sleeper(t *testing.T) process {
	t.Helper()
	command := exec.Command("sleep", "600")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() { _ = command.Process.Kill(); <-ended })
	stat, err := readStat(command.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return process{Name: "sleeper", PID: command.Process.Pid, Started: stat.started}
}

func TestAnotherProcessWithTheRecordedIDIsNeverSignalled(t *testing.T) {
	p := sleeper(t)
	impostor := p
	impostor.Started--
	if impostor.alive() {
		t.Error("a process with another start time counts as the recorded one")
	}
	impostor.signal(syscall.SIGKILL)
	if err := impostor.stop(0); err != nil {
		t.Error(err)
	}
	if poll(200*time.Millisecond, func() bool { return !p.alive() }) {
		t.Error("the other process was ended")
	}
}

func TestStoppedProcessIsGone(t *testing.T) {
	p := sleeper(t)
	if !p.alive() {
		t.Fatal("it does not count as alive")
	}
	if err := p.stop(5 * time.Second); err != nil {
		t.Fatal(err)
	}
	if p.alive() {
		t.Error("it still counts as alive")
	}
}

func TestRecordsSurviveTheCommand(t *testing.T) {
	l := layout{cache: t.TempDir(), run: t.TempDir()}
	if _, found := l.recorded("etcd"); found {
		t.Error("found what was never recorded")
	}
	want := process{Name: "etcd", PID: 7, Started: 8}
	if err := l.record(want); err != nil {
		t.Fatal(err)
	}
	if got := l.allRecorded(); len(got) != 1 || got[0] != want {
		t.Errorf("got %v", got)
	}
}
