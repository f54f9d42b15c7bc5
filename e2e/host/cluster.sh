# Sourced by run: the kind cluster.

cluster_env() {
  export KUBECONFIG=$state/kubeconfig OTTLA_E2E_KIND=$cluster KIND_EXPERIMENTAL_DOCKER_NETWORK=ottla-e2e
  export OTTLA_E2E_IMAGE=${OTTLA_E2E_IMAGE:-ottla:dev}
  local tools
  for tools in "$cache"/tools-*; do PATH=$tools:$PATH; done
}

# node_image: prints the name of an image that the daemon has: kind's own where it can be pulled, else ours.
node_image() {
  local archive name
  if [ "$daemon" = shared ] && { docker image inspect "$HUB_IMAGE" || timeout 300 docker pull "$HUB_IMAGE"; } > /dev/null 2>&1; then
    "$here/node-image/build" --tools > /dev/null
    echo "$HUB_IMAGE"
    return
  fi
  [ "$(id -u)" != 0 ] || "$here/host/packages" node-image
  archive=$("$here/node-image/build" | sed -n 1p)
  name=${archive##*/node-image-}
  name=ottla-e2e/node:${name%.tar.zst}
  docker image inspect "$name" > /dev/null 2>&1 || {
    say "loading the node image"
    docker images -q ottla-e2e/node | xargs -r docker rmi -f > /dev/null
    zstd -dc "$archive" | docker load > /dev/null
  }
  echo "$name"
}

# network: a bridge of our own with addresses for tests. Packets to cluster addresses that no rule of the cluster
# catches must not leave by the machine's uplink; the private daemon has none.
network() {
  docker network inspect ottla-e2e > /dev/null 2>&1 ||
    docker network create --driver bridge --subnet 198.18.128.0/20 -o com.docker.network.bridge.name=ottla-e2e ottla-e2e > /dev/null
  if [ "$daemon" = shared ] && [ "$(id -u)" = 0 ]; then
    local rule=(DOCKER-USER -i ottla-e2e ! -o ottla-e2e -d 198.18.0.0/15 -j REJECT)
    iptables -C "${rule[@]}" 2>/dev/null || iptables -I "${rule[@]}"
  fi
}

cluster_up() {
  local image
  image=$(node_image)
  cluster_env
  if [ -z "$(inside kind get nodes --name $cluster 2>/dev/null)" ]; then
    network
    say "creating the cluster"
    inside kind create cluster --name $cluster --image "$image" --config "$here/host/kind.yaml" \
      --kubeconfig "$KUBECONFIG" --wait 120s --quiet || die "kind could not create the cluster"
    inside kubectl wait --for=condition=Ready node --all --timeout=120s > /dev/null
    # Names and volumes first: a test that starts before them would measure them.
    inside kubectl rollout status --timeout=120s -n kube-system deployment/coredns > /dev/null
    inside kubectl rollout status --timeout=120s -n local-path-storage deployment/local-path-provisioner > /dev/null
  fi
  if [ -n "${OTTLA_BIN_DIR:-}" ]; then
    "$here/host/image" && inside kind load docker-image --name $cluster "$OTTLA_E2E_IMAGE" > /dev/null 2>&1 ||
      die "the image $OTTLA_E2E_IMAGE could not be built and loaded"
  fi
  say "cluster ready after $SECONDS s: $(inside kubectl get nodes --no-headers | wc -l) nodes"
}
