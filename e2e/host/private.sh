# Sourced by run: the private docker daemon and the namespaces around it.
#
#   run ── setpriv ── unshare ── holder (process 1 of the namespaces) ── dockerd ── containerd ── nodes
#
# unshare is told to die with `run` (PDEATHSIG) and to take the holder with it; a dead process 1 takes every process
# of the namespace, and with the last process go the network devices, packet filter rules and mounts.

# private_up: starts the holder and waits until its daemon answers.
private_up() {
  [ "$(id -u)" = 0 ] || die "no docker daemon answers, and starting one needs root"
  local deathsig=(setpriv --pdeathsig KILL)
  [ -z "$keep" ] || deathsig=()
  rm -f "$state/docker.sock"
  setsid "${deathsig[@]}" unshare --mount --propagation slave --pid --fork --kill-child=KILL --net \
    "$here/host/holder" "$state" > "$state/holder.log" 2>&1 < /dev/null 9>&- &
  local outer=$!
  disown
  setsid "$here/host/watchdog" "$outer" "$state" private > "$state/watchdog.log" 2>&1 < /dev/null &
  echo "$outer" > "$state/outer.pid"
  for _ in $(seq 150); do
    docker version > /dev/null 2>&1 && { private_enter; return; }
    kill -0 "$outer" 2>/dev/null || break
    sleep 0.1
  done
  tail -20 "$state/holder.log" "$state/dockerd.log" >&2
  die "the docker daemon did not start"
}

# private_enter: sets $enter, the words that run a command inside the namespaces, in this folder.
private_enter() {
  local outer first
  outer=$(cat "$state/outer.pid")
  first=$(cat "/proc/$outer/task/$outer/children")
  enter=(nsenter --target "${first% }" --mount --pid --net bash -c 'cd "$0" && exec "$@"' "$PWD")
}
