# shellcheck shell=bash
# Shared by scripts/services, scripts/test and scripts/check: messages, ports, and the life of a background process.
#
# A server is known by its name. Everything about it lies in the services folder ($SERVICES):
#   run/NAME.pid    "PID START", START being the kernel's start time of that process, so that a reused pid is never taken for ours
#   run/NAME.port   the port it was started on; this, not the environment, is what `env` and `status` report while it runs
#   log/NAME.log    its output
#   data/NAME/      its data

say() { printf '%s: %s\n' "${PROGRAM:-scripts}" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# slow WHAT DURATION: announces a step that takes long enough to be mistaken for a hang.
slow() { say "$1 (about $2)"; }

# started_at PID: start time of a live process in clock ticks since boot; fails when there is no such process or it is a zombie.
started_at() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) } # the command name may contain blanks and brackets
  read -r -a fields <<<"$stat"
  [[ ${fields[0]} != Z ]] || return 1
  printf '%s\n' "${fields[19]}"
}

# pid_of NAME: pid of the server if it is running and is the process that we started.
pid_of() {
  local pid start
  read -r pid start 2>/dev/null <"$SERVICES/run/$1.pid" || return 1
  [[ $(started_at "$pid") == "$start" ]] || return 1
  printf '%s\n' "$pid"
}

running() { pid_of "$1" >/dev/null; }

# spawn NAME COMMAND...: starts a server that outlives this shell and terminal and holds none of its descriptors (locks, pipes of a test runner).
spawn() {
  local name=$1
  shift
  # shellcheck disable=SC2016
  setsid bash -c '
    for fd in /proc/$$/fd/*; do n=${fd##*/}; if ((n > 2)); then eval "exec $n>&-"; fi; done
    read -r -a stat </proc/$$/stat
    echo "$$ ${stat[21]}" >"$0.new" && mv "$0.new" "$0"
    cd / && exec "$@"' "$SERVICES/run/$name.pid" "$@" </dev/null >>"$SERVICES/log/$name.log" 2>&1 &
  disown
  local i
  for ((i = 0; i < 100; i++)); do
    if running "$name"; then return 0; fi
    sleep 0.05
  done
  tail -n 20 "$SERVICES/log/$name.log" >&2
  die "$name did not start, see $SERVICES/log/$name.log"
}

# halt NAME SIGNAL SECONDS: asks our process to end, and kills it when it has not after SECONDS.
halt() {
  local pid i
  if pid=$(pid_of "$1"); then
    say "stopping $1"
    kill "-$2" "$pid" 2>/dev/null || true
    for ((i = 0; i < $3 * 10; i++)); do
      running "$1" || break
      sleep 0.1
    done
    if running "$1"; then
      say "warning: $1 did not end in $3 s, killing it"
      kill -KILL "$pid" 2>/dev/null || true
    fi
  fi
  rm -f "$SERVICES/run/$1.pid" "$SERVICES/run/$1.port"
}

# wait_healthy NAME SECONDS CHECK...: until CHECK succeeds; ends at once, with the log's last lines, when the process is gone.
wait_healthy() {
  local name=$1 seconds=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@" >/dev/null 2>&1; do
    if ! running "$name" || ((SECONDS >= end)); then
      tail -n 30 "$SERVICES/log/$name.log" >&2
      running "$name" || die "$name ended while starting, see $SERVICES/log/$name.log"
      die "$name is not healthy after $seconds s, see $SERVICES/log/$name.log"
    fi
    sleep 0.1
  done
}

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# port NAME: the port a running server was started on, else the one it would get.
port() {
  if [[ -s $SERVICES/run/$1.port ]] && { [[ $(mode) == docker ]] || running "$1"; }; then
    cat "$SERVICES/run/$1.port"
    return
  fi
  case $1 in
    mysql) echo "${ROWFOLD_MYSQL_PORT:-33306}" ;;
    mariadb) echo "${ROWFOLD_MARIADB_PORT:-33307}" ;;
    redis) echo "${ROWFOLD_REDIS_PORT:-36379}" ;;
    mongo) echo "${ROWFOLD_MONGO_PORT:-37017}" ;;
    postgres) echo "${ROWFOLD_POSTGRES_PORT:-35432}" ;;
    *) die "no port is known for $1" ;;
  esac
}

# claim NAME: records the port, after making sure that nobody else has it.
claim() {
  local p
  p=$(port "$1")
  if listening "$p"; then
    die "port $p for $1 is taken by a process that these services did not start.
  Set ROWFOLD_${1^^}_PORT to another port, or stop that process, or set ROWFOLD_SERVICES_DIR to the folder of the services that run there."
  fi
  echo "$p" >"$SERVICES/run/$1.port"
}

# mode: how the services of this folder were started: docker, native, or none.
mode() { cat "$SERVICES/run/mode" 2>/dev/null || echo none; }

# locked FILE COMMAND...: runs COMMAND while holding the lock; a second caller waits, and says so.
locked() {
  local file=$1 fd
  shift
  exec {fd}>"$file"
  if ! flock -n "$fd"; then
    say "waiting for another run that holds $file"
    flock "$fd"
  fi
  "$@"
  exec {fd}>&-
}

# apt_install PACKAGE...: installs what is missing; the lists are refreshed only when the first try fails.
apt_install() {
  command -v apt-get >/dev/null || die "$* must be installed, and this machine has no apt-get"
  ((EUID == 0)) || die "$* must be installed, which needs root: apt-get install $*"
  slow "installing $*" "10 to 60 s"
  local -a install=(apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=120 install --no-install-recommends --no-upgrade "$@")
  export DEBIAN_FRONTEND=noninteractive
  if ! "${install[@]}" </dev/null >/dev/null 2>&1; then
    # one unreachable extra source must not end this: the install decides
    apt-get -q -o Acquire::Retries=3 update </dev/null >/dev/null || say "warning: apt-get update failed in part"
    "${install[@]}" </dev/null >/dev/null || die "apt-get could not install $*"
  fi
}

# need_toolchain: cargo, and the C compiler and linker that it calls.
need_toolchain() {
  if ! command -v cargo >/dev/null && [[ -r ${CARGO_HOME:-${HOME:-/root}/.cargo}/env ]]; then
    # shellcheck source=/dev/null
    . "${CARGO_HOME:-${HOME:-/root}/.cargo}/env"
  fi
  command -v cargo >/dev/null || die "cargo is missing: install Rust with rustup"
  command -v cc >/dev/null || apt_install build-essential
}

# cargo_features: the features that tests and lints are built with, once Cargo.toml has them.
cargo_features() {
  if grep -q '^failpoints *=' "$TOP/Cargo.toml"; then echo --features=failpoints; fi
}

# use_servers [--mariadb]: exports the addresses of the servers: those of the environment when all are set, else scripts/services brings
# its own up, and they go on running.
# shellcheck disable=SC2120
use_servers() {
  local name given=1
  for name in MYSQL REDIS MONGO ${1:+MARIADB}; do
    name=ROWFOLD_${name}_URL
    [[ -n ${!name:-} ]] || given=0
  done
  if ((given)); then
    say "using the servers that ROWFOLD_MYSQL_URL and its like name"
  else
    local urls
    "$TOP/scripts/services" up "$@"
    urls=$("$TOP/scripts/services" env "$@")
    eval "$urls"
  fi
}
