package cluster

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// The images of the cluster's own pods. `localhost` says that there is no registry to pull them from.
const (
	pauseImage   = "localhost/ferromesh/pause:1"
	coreDNSImage = "localhost/ferromesh/coredns:1.15.0"
)

// loadedImages maps the hash of an archive to the images that it brought. It tells which archives need not be read again.
type loadedImages map[string][]image

func (l layout) loadedImagesFile() string { return l.data("images.json") }

func (l layout) readLoadedImages() loadedImages {
	known := loadedImages{}
	text, err := os.ReadFile(l.loadedImagesFile())
	if err == nil && json.Unmarshal(text, &known) != nil {
		// A damaged record costs one import of each archive and nothing else.
		return loadedImages{}
	}
	return known
}

func (l layout) writeLoadedImages(known loadedImages) error {
	text, err := json.MarshalIndent(known, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(l.loadedImagesFile(), text, 0o644)
}

// complete tells whether all images of an archive are still there under the names that it gave them.
func (known loadedImages) complete(hash string, held map[image]bool) bool {
	for _, i := range known[hash] {
		if !held[i] {
			return false
		}
	}
	return len(known[hash]) > 0
}

// load imports archives that containerd has not got yet, and says what it did with each.
func (l layout) load(c containers, archives []string, report func(format string, args ...any)) error {
	held, err := c.images()
	if err != nil {
		return err
	}
	known := l.readLoadedImages()
	for _, archive := range archives {
		hash, err := hashFile(archive)
		if err != nil {
			return err
		}
		if known.complete(hash, held) {
			report("%s is loaded already: %s", archive, names(known[hash]))
			continue
		}
		found, err := c.importArchive(archive)
		if err != nil {
			return fmt.Errorf("cannot load %s: %w", archive, err)
		}
		known[hash] = found
		// Written after each, so that what was done is known even if the next one fails.
		if err := l.writeLoadedImages(known); err != nil {
			return err
		}
		report("loaded %s: %s", archive, names(found))
	}
	return nil
}

func names(images []image) string {
	var all []string
	for _, i := range images {
		all = append(all, i.Name)
	}
	return strings.Join(all, ", ")
}

func hashFile(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// loadOwnImages makes the images of the cluster's own pods from the programs that build.sh made, and loads them.
func (l layout) loadOwnImages(c containers) error {
	var archives []string
	for _, own := range []struct{ program, image string }{{"pause", pauseImage}, {"coredns", coreDNSImage}} {
		archive := l.data("images", own.program+".tar")
		if err := packProgram(l.binary(own.program), own.program, own.image, archive); err != nil {
			return fmt.Errorf("cannot make the image %s: %w", own.image, err)
		}
		archives = append(archives, archive)
	}
	return l.load(c, archives, func(string, ...any) {})
}

// packProgram writes an image of one program, unless the archive is newer than the program.
func packProgram(program, name, reference, archive string) error {
	source, err := os.Stat(program)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not there; e2e/kubernetes/build.sh makes it", program)
	}
	if err != nil {
		return err
	}
	if made, err := os.Stat(archive); err == nil && made.ModTime().After(source.ModTime()) {
		return nil
	}
	content, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	packed, err := packImage(reference, name, content)
	if err != nil {
		return err
	}
	return writeFile(archive, packed, 0o644)
}
