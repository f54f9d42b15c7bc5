# Sourced by run: clusters in the docker daemon that the user runs anyway.

# shared_up: a stand-in process whose end the watchdog waits for. It dies with `run`, unless the cluster is kept.
shared_up() {
  local deathsig=(setpriv --pdeathsig KILL)
  [ -z "$keep" ] || deathsig=()
  setsid "${deathsig[@]}" sleep infinity < /dev/null > /dev/null 2>&1 9>&- &
  local outer=$!
  disown
  echo "$outer" > "$state/outer.pid"
  setsid "$here/host/watchdog" "$outer" "$state" shared > "$state/watchdog.log" 2>&1 < /dev/null &
}
