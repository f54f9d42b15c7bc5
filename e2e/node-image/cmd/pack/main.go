// pack writes container images with no daemon and no registry:
//
//	pack manifests KIND OUT              kind's default manifests out of its source into OUT; prints their images
//	pack images BIN PROXY BUSYBOX OUT NAME…   every image that a node holds, as one OCI archive
//	pack node LAYER.tar OUT.tar NAME     the node image itself, as an archive for `docker load`
package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

type runConfig struct {
	Entrypoint []string
	Env        []string
	StopSignal string `json:",omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// imageConfig is OCI's image configuration, which is docker's too.
type imageConfig struct {
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       runConfig `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 3 && args[0] == "manifests":
		return manifests(args[1], args[2])
	case len(args) > 5 && args[0] == "images":
		return images(args[1], args[2], args[3], args[4], args[5:])
	case len(args) == 4 && args[0] == "node":
		return node(args[1], args[2], args[3])
	}
	return fmt.Errorf("unknown arguments %q", args)
}

var (
	constant = regexp.MustCompile(`(?m)^const (\w+) = "(.+)"$`)
	template = regexp.MustCompile("(?s)Manifest = `(.*)`")
)

// manifests takes the two manifests that `kind create cluster` applies out of the constants of kind's own image
// builder, with the names of their images filled in.
func manifests(kind, out string) error {
	for _, name := range []string{"cni", "storage"} {
		source, err := os.ReadFile(filepath.Join(kind, "pkg/build/nodeimage/const_"+name+".go"))
		if err != nil {
			return err
		}
		found := template.FindSubmatch(source)
		if found == nil {
			return fmt.Errorf("this kind keeps its %s manifest elsewhere", name)
		}
		text := string(found[1])
		for _, c := range constant.FindAllSubmatch(source, -1) {
			text = strings.ReplaceAll(text, "` + "+string(c[1])+" + `", string(c[2]))
			fmt.Println(string(c[2]))
		}
		if err := os.WriteFile(filepath.Join(out, "default-"+name+".yaml"), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// images writes an image for each of the given names, which tell by their last part what is wanted.
func images(bin, proxy, busybox, out string, names []string) error {
	a := newArchive()
	layers, err := nodeLayers(a, bin, proxy, busybox)
	if err != nil {
		return err
	}
	for _, full := range names {
		short, _, _ := strings.Cut(full[strings.LastIndex(full, "/")+1:], ":")
		program := "/usr/local/bin/" + short
		switch short {
		case "kube-proxy":
			err = a.image(full, []string{program}, layers["kube"], layers["proxy"])
		case "kube-apiserver", "kube-controller-manager", "kube-scheduler", "etcd":
			err = a.image(full, []string{program}, layers["kube"])
		case "local-path-helper":
			err = a.image(full, []string{"/bin/sh"}, layers["busybox"])
		case "coredns", "pause", "kindnetd", "local-path-provisioner":
			err = a.image(full, []string{program}, layers[short])
		default:
			err = fmt.Errorf("nothing here goes into an image named %s", full)
		}
		if err != nil {
			return err
		}
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := a.writeTo(file); err != nil {
		return err
	}
	return file.Close()
}

// nodeLayers makes every layer once; the five programs of the control plane are links to one binary in one.
func nodeLayers(a *archive, bin, proxy, busybox string) (map[string]descriptor, error) {
	layers := map[string]descriptor{}
	add := func(name string, fill func(*layer) error) error {
		l := newLayer()
		for _, d := range []string{"bin", "etc", "usr", "usr/local", "usr/local/bin"} {
			if name == "proxy" {
				break // a whole root of its own
			}
			if err := l.dir(d, 0o755); err != nil {
				return err
			}
		}
		if err := fill(l); err != nil {
			return err
		}
		sealed, err := a.seal(l)
		layers[name] = sealed
		return err
	}
	one := func(image, program string) error {
		return add(image, func(l *layer) error {
			return l.program("usr/local/bin/"+image, filepath.Join(bin, program))
		})
	}
	for image, program := range map[string]string{"coredns": "coredns", "pause": "pause",
		"kindnetd": "nodenet", "local-path-provisioner": "local-path-provisioner"} {
		if err := one(image, program); err != nil {
			return nil, err
		}
	}
	if err := add("kube", func(l *layer) error {
		for _, p := range []string{"kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd"} {
			if err := l.link("usr/local/bin/"+p, "kube"); err != nil {
				return err
			}
		}
		return l.program("usr/local/bin/kube", filepath.Join(bin, "kube"))
	}); err != nil {
		return nil, err
	}
	if err := add("proxy", func(l *layer) error { return l.tree(proxy) }); err != nil {
		return nil, err
	}
	return layers, add("busybox", func(l *layer) error {
		for _, applet := range []string{"sh", "mkdir", "rm"} { // what the provisioner's helper script calls
			if err := l.link("bin/"+applet, "busybox"); err != nil {
				return err
			}
		}
		return l.program("bin/busybox", busybox)
	})
}

// node wraps one layer as an image that boots systemd the way kind expects it.
func node(layerPath, out, name string) error {
	in, err := os.Open(layerPath)
	if err != nil {
		return err
	}
	defer in.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, in)
	if err != nil {
		return err
	}
	config, err := json.Marshal(imageConfig{
		Architecture: "amd64", OS: "linux",
		Config: runConfig{
			Entrypoint: []string{"/usr/local/bin/entrypoint", "/sbin/init"},
			Env:        []string{"PATH=" + searchPath, "container=docker"},
			StopSignal: "SIGRTMIN+3", // the one at which systemd halts
		},
		RootFS: rootFS{Type: "layers", DiffIDs: []string{"sha256:" + hex.EncodeToString(hash.Sum(nil))}},
	})
	if err != nil {
		return err
	}
	manifest, err := json.Marshal([]map[string]any{
		{"Config": "config.json", "RepoTags": []string{name}, "Layers": []string{"layer.tar"}},
	})
	if err != nil {
		return err
	}
	file, err := os.Create(out)
	if err != nil {
		return err
	}
	w := tar.NewWriter(file)
	if err := put(w, "manifest.json", 0o644, manifest); err != nil {
		return err
	}
	if err := put(w, "config.json", 0o644, config); err != nil {
		return err
	}
	if _, err := in.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: "layer.tar", Mode: 0o644, Size: size}); err != nil {
		return err
	}
	if _, err := io.Copy(w, in); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}
