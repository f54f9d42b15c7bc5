# Sourced by build: the Go programs. Everything but kind lives in one module, so that client-go, gRPC and the
# rest are compiled once.
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS="-mod=readonly -trimpath -buildvcs=false -modcacherw"

# kind_source: the folder of kind's module, in the module cache.
kind_source() { (cd / && go mod download -json "sigs.k8s.io/kind@$KIND_VERSION") | sed -n 's/.*"Dir": "\(.*\)".*/\1/p'; }

# link_flags: what Kubernetes and containerd answer when asked for their version; kubeadm refuses one it cannot read.
link_flags() {
  local major minor package value
  IFS=. read -r major minor _ <<< "${KUBE_VERSION#v}"
  printf -- '-s -w'
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    for value in "gitVersion=$KUBE_VERSION" "gitMajor=$major" "gitMinor=$minor" gitTreeState=clean \
      gitCommit=0000000000000000000000000000000000000000 buildDate=1970-01-01T00:00:00Z; do
      printf -- ' -X %s.%s' "$package" "$value"
    done
  done
  printf -- ' -X github.com/containerd/containerd/v2/version.Version=%s' "$CONTAINERD_VERSION"
}

build_kind() {
  local source; source=$(kind_source)
  (cd "$source" && go build -ldflags '-s -w' -o "$bin/kind" .)
}

build_tools() {
  [ -x "$bin/kind" ] || build_kind
  [ -x "$bin/kube" ] || go build -ldflags "$(link_flags)" -o "$bin/" ./cmd/kube ./cmd/helm
}

build_programs() {
  local cni=github.com/containernetworking/plugins/plugins packages
  build_kind
  # Each line is a build of its own: together, two spellings of one module's name would collide.
  for packages in ./cmd/... sigs.k8s.io/cri-tools/cmd/crictl github.com/rancher/local-path-provisioner \
    "$cni/ipam/host-local $cni/main/loopback $cni/main/ptp $cni/meta/portmap"; do
    go build -tags no_aufs,no_btrfs,no_devmapper,no_tracing,no_zfs -ldflags "$(link_flags)" -o "$bin/" $packages
  done
  mv "$bin/shim" "$bin/containerd-shim-runc-v2"
  ln -sf containerd "$bin/ctr"
}
