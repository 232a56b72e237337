package cluster

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

const digestA = "sha256:0e98250de23282924d401953dc59226709de72bda9ce96fa2714649bbe611643"
const digestB = "sha256:3e8e8a50c39f46fdb9a791a2c6dbc1e76fd24bd69e9934c613884f3e84ce7b6c"

func TestImportedAndListedImagesAreTheSame(t *testing.T) {
	imported := parseImages(importedLine, "unpacking docker.io/library/probe:1 ("+digestA+")...done\n")
	listed := parseImages(listedLine, "REF TYPE DIGEST SIZE PLATFORMS LABELS \n"+
		"docker.io/library/probe:1 application/vnd.docker.distribution.manifest.v2+json "+digestA+" 29.9 MiB linux/amd64 io.cri-containerd.image=managed \n")
	want := []image{{Name: "docker.io/library/probe:1", Digest: digestA}}
	if !reflect.DeepEqual(imported, want) || !reflect.DeepEqual(listed, want) {
		t.Errorf("imported %v, listed %v", imported, listed)
	}
}

func TestArchiveIsLoadedAgainOnlyIfAnImageOfItIsGoneOrReplaced(t *testing.T) {
	one, two := image{"one:1", digestA}, image{"two:1", digestB}
	known := loadedImages{"hash": {one, two}}
	for _, c := range []struct {
		why  string
		hash string
		held map[image]bool
		want bool
	}{
		{"all are there", "hash", map[image]bool{one: true, two: true}, true},
		{"one is gone", "hash", map[image]bool{one: true}, false},
		{"one has other content by now", "hash", map[image]bool{one: true, {"two:1", digestA}: true}, false},
		{"the archive was never loaded", "other", map[image]bool{one: true, two: true}, false},
	} {
		if got := known.complete(c.hash, c.held); got != c.want {
			t.Errorf("%s: got %v", c.why, got)
		}
	}
}

func TestDamagedRecordOfImagesIsAsGoodAsNone(t *testing.T) {
	l := layout{cache: t.TempDir()}
	if err := writeFile(l.loadedImagesFile(), []byte("{half a rec"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := l.readLoadedImages(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

func TestSameProgramGivesTheSameImage(t *testing.T) {
	first, err := packImage("localhost/x:1", "x", []byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := packImage("localhost/x:1", "x", []byte("program"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) {
		t.Error("two packings differ")
	}
	var names []string
	for reader := tar.NewReader(bytes.NewReader(first)); ; {
		header, err := reader.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, header.Name)
	}
	if want := []string{"layer.tar", "config.json", "manifest.json"}; !reflect.DeepEqual(names, want) {
		t.Errorf("it holds %v", names)
	}
}

func TestImageIsPackedAnewWhenItsProgramIsNewer(t *testing.T) {
	folder := t.TempDir()
	program, archive := filepath.Join(folder, "x"), filepath.Join(folder, "x.tar")
	past := time.Now().Add(-time.Hour)
	write := func(content string, when time.Time) {
		if err := os.WriteFile(program, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(program, when, when); err != nil {
			t.Fatal(err)
		}
	}
	packed := func() string {
		if err := packProgram(program, "x", "localhost/x:1", archive); err != nil {
			t.Fatal(err)
		}
		hash, err := hashFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		return hash
	}
	write("old", past)
	old := packed()
	write("new", past)
	if packed() != old {
		t.Error("packed although nothing seemed newer")
	}
	write("new", time.Now().Add(time.Hour))
	if packed() == old {
		t.Error("the new program is not in the image")
	}
	if packProgram(filepath.Join(folder, "absent"), "x", "localhost/x:1", archive) == nil {
		t.Error("an absent program is packed")
	}
}
