package cluster

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const mountinfo = `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
50 27 0:40 / /run/ferromesh/containerd/a rw - tmpfs shm rw
51 27 0:41 / /run/ferromesh/containerd/a/inner rw - tmpfs shm rw
52 27 0:42 / /run/ferromesh/containerd\040b rw - tmpfs shm rw
53 27 0:43 / /run/ferromesh-other rw - tmpfs shm rw
`

func TestEveryCgroupHierarchyIsFound(t *testing.T) {
	want := []hierarchy{{mount: "/sys/fs/cgroup/cpu"}, {mount: "/sys/fs/cgroup/unified", unified: true}}
	if got := parseHierarchies(mountinfo); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestMountsBelowAFolderAreFoundYoungestFirst(t *testing.T) {
	want := []string{"/run/ferromesh/containerd b", "/run/ferromesh/containerd/a/inner", "/run/ferromesh/containerd/a"}
	if got := parseMounts(mountinfo, []string{"/run/ferromesh"}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestOnlyAbsentProgramsAreInstalled(t *testing.T) {
	folder := t.TempDir()
	for name, mode := range map[string]os.FileMode{"here": 0o755, "not-executable": 0o644} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	absent := missing([]requirement{{"here", "a"}, {"not-executable", "b"}, {"gone", "b"}, {"lost", "c"}}, []string{folder})
	if got := packages(absent); !reflect.DeepEqual(got, []string{"b", "c"}) {
		t.Errorf("got %v", got)
	}
	if got := programs(absent); got != "not-executable, gone, lost" {
		t.Errorf("got %s", got)
	}
}

func TestSettingsAreNotPutBackAfterTheMachineWasStartedAnew(t *testing.T) {
	l := layout{cache: t.TempDir()}
	if err := l.noteTraces(); err != nil {
		t.Fatal(err)
	}
	now, err := l.notedTraces()
	if err != nil || len(now.Settings) != len(foreignSettings) {
		t.Fatalf("%d settings are noted: %v", len(now.Settings), err)
	}
	now.Boot, now.Folders = "another", []string{"/made/before"}
	text, err := json.Marshal(now)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(l.tracesFile(), text, 0o600); err != nil {
		t.Fatal(err)
	}
	// Noting again must keep what is known about the folders: they are there by now.
	if err := l.noteTraces(); err != nil {
		t.Fatal(err)
	}
	later, err := l.notedTraces()
	if err != nil || len(later.Settings) != 0 || !reflect.DeepEqual(later.Folders, now.Folders) {
		t.Errorf("after a start of the machine: %+v %v", later, err)
	}
}
