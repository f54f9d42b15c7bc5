# Sourced by run: which docker daemon serves. Sets $daemon to private or shared.

# lock: one run at a time; it is free again when the machine is clean again.
lock() {
  exec 9> "$state/lock"
  flock --timeout 60 9 || die "another run is using $state (process $(cat "$state/outer.pid" 2>/dev/null || echo unknown))"
}

# own_docker: a daemon that the user already runs. Its client is whichever comes first in PATH.
own_docker() { docker version > /dev/null 2>&1; }

private_env() { export DOCKER_HOST=unix://$state/docker.sock PATH=/usr/bin:$PATH; }

# attach: finds what an earlier run kept.
attach() {
  [ -e "$state/kept" ] && kill -0 "$(cat "$state/outer.pid" 2>/dev/null)" 2>/dev/null || return 1
  daemon=$(cat "$state/daemon")
  [ "$daemon" = shared ] || { private_env; private_enter; }
  cluster_env
}

docker_up() {
  if attach; then say "using what an earlier run kept"; keep=1; return; fi
  lock
  # On a machine with an init system, installing docker also starts it.
  own_docker || [ "$(id -u)" != 0 ] || "$here/host/packages" docker
  if own_docker; then
    daemon=shared
    shared_up
  else
    daemon=private
    private_env
    private_up
    docker_sweep
  fi
  echo $daemon > "$state/daemon"
  [ -z "$keep" ] || : > "$state/kept"
  # From here on only the watchdog holds the lock.
  exec 9>&-
}

# docker_sweep: what a run, killed or not, leaves in the private daemon's folder; named images stay.
docker_sweep() {
  local left
  left=$(docker ps -aq)
  [ -z "$left" ] || docker rm -fv $left > /dev/null
  docker volume prune -f > /dev/null
  docker network prune -f > /dev/null
  docker image prune -f > /dev/null
}

# inside COMMAND…: where the daemon's containers can be reached.
inside() {
  case $daemon in
  private) "${enter[@]}" "$@" ;;
  shared) "$@" ;;
  esac
}

docker_down() {
  [ -n "${daemon:-}" ] || return 0
  if [ -n "$keep" ]; then
    say "kept. Look:   $here/run shell kubectl get pods -A"
    say "      Remove: $here/run down"
    return
  fi
  # Less to mend at the next start than after a kill alone.
  [ "$daemon" = shared ] || docker_sweep > /dev/null 2>&1 || true
  kill -KILL "$(cat "$state/outer.pid" 2>/dev/null)" 2>/dev/null || true
  exec 9> "$state/lock"
  flock --timeout 60 9 || die "could not clean up; see $state/watchdog.log"
}
