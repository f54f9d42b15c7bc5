# Sourced by build: the file system of a node, and the images in its container store. The steps are those of
# kind's own base image and of `kind build node-image`, without a container to run them in.

debian_root() {
  rm -rf "$work/debian"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,libseccomp2,conntrack,iptables,nftables,iproute2,ethtool,mount,kmod,procps,ca-certificates,jq,runc,curl,e2fsprogs,hostname,busybox-static \
    "$DEBIAN" "$work/debian"
  rm -rf "$work/debian"/var/{cache/apt/archives/*.deb,cache/apt/*.bin,lib/apt/lists/*,log/*} \
    "$work/debian"/usr/share/{doc,man,locale,info,lintian}
}

# node_root: Debian, kind's own files, our programs; and what kind's base image does to systemd's units.
node_root() {
  local kind unit root=$work/node
  kind=$(kind_source)
  rm -rf "$root"; cp -a "$work/debian" "$root"
  cp -r --no-preserve=mode "$kind/images/base/files/." "$root"
  chmod 755 "$root"/usr/local/bin/* "$root"/kind "$root"/kind/bin "$root"/kind/bin/*
  rm -f "$root"/usr/lib/systemd/system/{sysinit.target.wants/systemd-tmpfiles-setup.service,{multi-user,local-fs,basic}.target.wants/*} \
    "$root"/usr/lib/systemd/system/sockets.target.wants/*{udev,initctl}* "$root"/etc/systemd/system/*.wants/*
  echo ReadKMsg=no >> "$root/etc/systemd/journald.conf"
  mkdir -p "$root"/etc/{systemd/system/multi-user.target.wants,kubernetes/manifests,cni/net.d} "$root"/opt/cni/bin "$root"/kind/manifests
  for unit in kubelet containerd undo-mount-hacks; do
    ln -s "/etc/systemd/system/$unit.service" "$root/etc/systemd/system/multi-user.target.wants/"
  done
  ln -s /dev/null "$root/etc/systemd/system/systemd-binfmt.service" # it would register formats for the whole kernel
  : > "$root/etc/machine-id"; rm -f "$root"/etc/{resolv.conf,hostname}
  cp "$bin/kube" "$root/usr/bin/"
  for unit in kubeadm kubelet kubectl; do ln -s kube "$root/usr/bin/$unit"; done
  cp -P "$bin"/{containerd,ctr,containerd-shim-runc-v2,crictl} "$root/usr/local/bin/"
  cp "$bin"/{host-local,loopback,ptp,portmap} "$root/opt/cni/bin/"
  "$bin/ctr" oci spec | jq '.hooks.createContainer += [{"path": "/kind/bin/mount-product-files.sh"}] | del(.process.rlimits)' \
    > "$root/etc/containerd/cri-base.json"
  # A root without CAP_SYS_RESOURCE may not lower oom_score_adj, and no sandbox would start.
  sed -i 's/restrict_oom_score_adj = false/restrict_oom_score_adj = true/' "$root/etc/containerd/config.toml"
  printf %s "$KUBE_VERSION" > "$root/kind/version"
}

# proxy_root: what kube-proxy calls: iptables, nft and conntrack with their libraries, and every extension of
# iptables with the libraries of its own. One extension missing, and no service has a rule.
proxy_root() {
  local root=$work/proxy extensions=usr/lib/x86_64-linux-gnu/xtables program link
  local programs="usr/sbin/xtables-nft-multi usr/sbin/xtables-legacy-multi usr/sbin/nft usr/sbin/conntrack usr/bin/kmod usr/bin/dash"
  rm -rf "$root"; mkdir -p "$root"
  (
    cd "$work/debian"
    for program in $programs $(find $extensions -type f); do chroot . ldd "/$program"; done |
      awk '{for (i = 1; i <= NF; i++) if ($i ~ "^/lib") print "usr" $i}' | sort -u > "$work/libraries"
    {
      printf '%s\n' $programs
      find $extensions ! -type d
      cat "$work/libraries"
      while read -r link; do chroot . readlink -f "/$link" | cut -c2-; done < "$work/libraries"
    } | sort -u | tar -cf - -T -
  ) | tar -xf - -C "$root"
  ln -s usr/lib usr/lib64 usr/sbin usr/bin "$root/"
  ln -s dash "$root/usr/bin/sh"; ln -s ../bin/kmod "$root/usr/sbin/modprobe"
  for link in ip{,6}tables{,-save,-restore}; do ln -s xtables-nft-multi "$root/usr/sbin/$link"; done
  mkdir -p "$root"/{run,tmp}
  for program in iptables nft conntrack; do chroot "$root" /usr/sbin/$program --version > /dev/null; done
}

# node_images: every image that a node runs, imported into the node's container store.
node_images() {
  local names pause
  names=$("$bin/kube" kubeadm config images list --kubernetes-version "$KUBE_VERSION")
  pause=$(grep /pause: <<< "$names")
  sed -i "s#sandbox_image = .*#sandbox_image = \"$pause\"#" "$work/node/etc/containerd/config.toml"
  names+=$'\n'$("$bin/pack" manifests "$(kind_source)" "$work/node/kind/manifests")
  proxy_root
  "$bin/pack" images "$bin" "$work/proxy" "$work/debian/bin/busybox" "$work/images.tar" $names
  import_images
}

# import_images: by our containerd, run for a moment on this machine with its root inside the node's root. The
# layers stay packed, so that the node image carries them once.
import_images() {
  local run pid status=0
  run=$(mktemp -d)
  cat > "$run/config.toml" <<C
version = 3
root = "$work/node/var/lib/containerd"
state = "$run/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.erofs", "io.containerd.nri.v1.nri"]
[grpc]
  address = "$run/sock"
[ttrpc]
  address = "$run/sock.ttrpc"
C
  mkdir -p "$work/node/var/lib/containerd"
  setpriv --pdeathsig KILL "$bin/containerd" --config "$run/config.toml" > "$work/import.log" 2>&1 & pid=$!
  for _ in $(seq 100); do [ -S "$run/sock" ] && break; sleep 0.1; done
  "$bin/ctr" -a "$run/sock" -n k8s.io images import --label=io.cri-containerd.pinned=pinned --all-platforms --no-unpack \
    "$work/images.tar" >> "$work/import.log" 2>&1 || status=$?
  kill $pid; wait $pid || true
  rm -rf "$run"
  [ $status = 0 ] || { tail -20 "$work/import.log" >&2; die "importing the images failed"; }
}
