package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// parseMounts lists the mount points in the text of /proc/self/mountinfo that are one of the folders or below one, the
// youngest first, which is the order in which they can be unmounted.
func parseMounts(mountinfo string, folders []string) []string {
	var found []string
	lines := strings.Split(mountinfo, "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		fields := strings.Fields(lines[i])
		if len(fields) < 5 {
			continue
		}
		point := unescapeMount(fields[4])
		for _, folder := range folders {
			if point == folder || strings.HasPrefix(point, folder+"/") {
				found = append(found, point)
				break
			}
		}
	}
	return found
}

// unescapeMount turns the kernel's \040 and the like into the blanks that they stand for.
func unescapeMount(text string) string {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		plain.WriteByte(text[i])
	}
	return plain.String()
}

func mountsBelow(folders []string) ([]string, error) {
	mountinfo, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(string(mountinfo), folders), nil
}

// unmountBelow unmounts everything that is mounted on the folders or below them.
func unmountBelow(folders ...string) error {
	for i, folder := range folders {
		// mountinfo has the real paths.
		if resolved, err := filepath.EvalSymlinks(folder); err == nil {
			folders[i] = resolved
		}
	}
	points, err := mountsBelow(folders)
	if err != nil {
		return err
	}
	var problems []error
	for _, point := range points {
		// Detached, because a process elsewhere on the machine may look into it just now.
		if err := unix.Unmount(point, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			problems = append(problems, fmt.Errorf("cannot unmount %s: %w", point, err))
		}
	}
	return errors.Join(problems...)
}
