package cluster

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"runtime"
)

// packImage makes a docker-archive of an image that holds one static program and runs it. The same program gives the same
// bytes, so that the image is not imported anew each time.
func packImage(reference, name string, program []byte) ([]byte, error) {
	layer, err := pack([]entry{{name: name, content: program, mode: 0o755}})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(layer)
	configuration, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH,
		"os":           "linux",
		"config":       map[string]any{"Entrypoint": []string{"/" + name}, "WorkingDir": "/"},
		"rootfs":       map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + hex.EncodeToString(sum[:])}},
		"history":      []any{map[string]any{"created_by": "the local cluster of ferromesh"}},
	})
	if err != nil {
		return nil, err
	}
	manifest, err := json.Marshal([]any{map[string]any{
		"Config": "config.json", "RepoTags": []string{reference}, "Layers": []string{"layer.tar"},
	}})
	if err != nil {
		return nil, err
	}
	return pack([]entry{
		{name: "layer.tar", content: layer, mode: 0o644},
		{name: "config.json", content: configuration, mode: 0o644},
		{name: "manifest.json", content: manifest, mode: 0o644},
	})
}

type entry struct {
	name    string
	content []byte
	mode    int64
}

// pack writes files of root without a time into a tar.
func pack(entries []entry) ([]byte, error) {
	var packed bytes.Buffer
	writer := tar.NewWriter(&packed)
	for _, e := range entries {
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := writer.WriteHeader(header); err != nil {
			return nil, err
		}
		if _, err := writer.Write(e.content); err != nil {
			return nil, err
		}
	}
	err := writer.Close()
	return packed.Bytes(), err
}
