package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/zstd"
)

// digest is the name of a blob: "sha256:" and its hash.
func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// put writes one file into an archive.
func put(w *tar.Writer, name string, mode int64, data []byte) error {
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: int64(len(data))}); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// layer is one layer of an image while it is being filled; no time stamps and no owners but root, so equal
// content gives equal blobs.
type layer struct {
	buf bytes.Buffer
	tar *tar.Writer
}

func newLayer() *layer {
	l := &layer{}
	l.tar = tar.NewWriter(&l.buf)
	return l
}

func (l *layer) dir(name string, mode int64) error {
	return l.tar.WriteHeader(&tar.Header{Name: name + "/", Typeflag: tar.TypeDir, Mode: mode})
}

func (l *layer) link(name, target string) error {
	return l.tar.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target, Mode: 0o777})
}

func (l *layer) program(name, source string) error {
	data, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	return put(l.tar, name, 0o755, data)
}

// tree adds a folder with everything in it.
func (l *layer) tree(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || name == "." {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case info.IsDir():
			return l.dir(name, int64(info.Mode().Perm()))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return l.link(name, target)
		default:
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return put(l.tar, name, int64(info.Mode().Perm()), data)
		}
	})
}

// descriptor is how OCI's indexes and manifests point to a blob.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	diffID      string            // of a layer: the digest before compression
}

// archive collects images as an OCI layout. A blob that several images share is stored once.
type archive struct {
	blobs map[string][]byte
	order []string
	index []descriptor
}

func newArchive() *archive { return &archive{blobs: map[string][]byte{}} }

func (a *archive) blob(mediaType string, data []byte) descriptor {
	d := digest(data)
	if _, known := a.blobs[d]; !known {
		a.blobs[d] = data
		a.order = append(a.order, d)
	}
	return descriptor{MediaType: mediaType, Digest: d, Size: len(data)}
}

func (a *archive) jsonBlob(mediaType string, value any) (descriptor, error) {
	data, err := json.Marshal(value)
	return a.blob(mediaType, data), err
}

// seal compresses a filled layer into the archive.
func (a *archive) seal(l *layer) (descriptor, error) {
	if err := l.tar.Close(); err != nil {
		return descriptor{}, err
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return descriptor{}, err
	}
	d := a.blob("application/vnd.oci.image.layer.v1.tar+zstd", encoder.EncodeAll(l.buf.Bytes(), nil))
	d.diffID = digest(l.buf.Bytes())
	return d, nil
}

// image adds one image under its full name.
func (a *archive) image(name string, entrypoint []string, layers ...descriptor) error {
	var diffs []string
	for _, l := range layers {
		diffs = append(diffs, l.diffID)
	}
	config, err := a.jsonBlob("application/vnd.oci.image.config.v1+json", imageConfig{
		Architecture: "amd64", OS: "linux",
		Config: runConfig{Entrypoint: entrypoint, Env: []string{"PATH=" + searchPath}},
		RootFS: rootFS{Type: "layers", DiffIDs: diffs},
	})
	if err != nil {
		return err
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := a.jsonBlob(manifestType, map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": layers,
	})
	manifest.Annotations = map[string]string{"io.containerd.image.name": name}
	a.index = append(a.index, manifest)
	return err
}

// writeTo writes the layout as one tar.
func (a *archive) writeTo(out io.Writer) error {
	w := tar.NewWriter(out)
	if err := put(w, "oci-layout", 0o644, []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	index, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": a.index})
	if err != nil {
		return err
	}
	if err := put(w, "index.json", 0o644, index); err != nil {
		return err
	}
	for _, d := range a.order {
		if err := put(w, "blobs/sha256/"+d[len("sha256:"):], 0o644, a.blobs[d]); err != nil {
			return err
		}
	}
	return w.Close()
}
