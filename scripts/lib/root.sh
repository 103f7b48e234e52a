# shellcheck shell=bash
# What native mode downloads, once per machine, into $CACHE (never into target/):
#   root-RECIPE/           a Debian sid root with MySQL, Redis and PostgreSQL with DocumentDB. Debian stable and Ubuntu have no MySQL with
#                          binlog_row_metadata beside a recent Redis and DocumentDB; sid has all of them, for its own libc only.
#   root-mariadb-RECIPE/   the same for MariaDB, whose packages conflict with MySQL's
#   ferretdb-VERSION       the MongoDB protocol in front of DocumentDB, built from the Go module proxy
# Each is built under another name and renamed when complete. Mounts are made in a mount namespace of their own, so none can be left behind.

FERRETDB_VERSION=v2.7.0
FERRETDB_GO=1.25 # the oldest Go that builds it
RECIPE=1         # raise it when a package list or the way a root is made changes

ROOT=$CACHE/root-$RECIPE
MARIADB_ROOT=$CACHE/root-mariadb-$RECIPE
FERRETDB=$CACHE/ferretdb-$FERRETDB_VERSION

ROOT_PACKAGES=(mysql-server-core mysql-client-core redis-server redis-tools postgresql-18 postgresql-18-documentdb)
MARIADB_PACKAGES=(mariadb-server-core mariadb-client-core)

# native_possible: fails with the reason, on stdout, when this machine cannot run the servers without Docker.
native_possible() {
  if [[ $(uname -s) != Linux ]]; then
    echo "this is not Linux"
  elif ((EUID != 0)); then
    echo "it needs root (chroot and a mount namespace)"
  elif ! command -v apt-get >/dev/null; then
    echo "it needs apt-get (Debian or Ubuntu)"
  elif ! unshare --mount true 2>/dev/null; then
    echo "this container may not make a mount namespace (give it CAP_SYS_ADMIN)"
  else
    return 0
  fi
  return 1
}

# in_root ROOT COMMAND...: runs COMMAND in the root, where the services folder is /srv/services.
in_root() { "$LIB/in-root" "$1" "$SERVICES" "${@:2}"; }

# debian_mirror: the mirror that this machine's apt uses, when it is a Debian; nothing on Ubuntu, where debootstrap's own default is used.
debian_mirror() {
  local uri=${ROWFOLD_DEBIAN_MIRROR:-}
  # shellcheck disable=SC2016
  if [[ -z $uri ]]; then
    uri=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 'Label: Debian' 'Created-By: Packages' 2>/dev/null | grep -m1 -E '^https?://' ||
      # before the first apt-get update the origins are not known
      apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -m1 -E '^https?://.*/debian/?$' || true)
  fi
  printf '%s\n' "$uri"
}

# make_root ROOT PACKAGE...
make_root() {
  local root=$1 partial=$1.partial mirror
  shift
  [[ ! -e $root/.complete ]] || return 0
  local -a tools=()
  command -v debootstrap >/dev/null || tools+=(debootstrap)
  [[ -e /usr/share/keyrings/debian-archive-keyring.gpg ]] || tools+=(debian-archive-keyring)
  # for Go; an installed one is left as it is, since an upgrade could change what this machine trusts
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || tools+=(ca-certificates)
  ((${#tools[@]} == 0)) || apt_install "${tools[@]}"
  mirror=$(debian_mirror)
  local log=$CACHE/${root##*/}.log
  rm -rf --one-file-system "$root" "$partial"

  slow "making a Debian sid root, log in $log" "30 s"
  # debootstrap's downloads know nothing of apt's proxy
  local http_proxy=${http_proxy:-} apt_proxy=
  eval "$(apt-config shell apt_proxy Acquire::http::Proxy)"
  if [[ -z $http_proxy && -n $apt_proxy && $apt_proxy != DIRECT ]]; then http_proxy=$apt_proxy; fi
  [[ -z $http_proxy ]] || export http_proxy
  unshare --mount --propagation private -- \
    debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
    sid "$partial" ${mirror:+"$mirror"} </dev/null >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "debootstrap failed, see $log"; }

  printf '#!/bin/sh\nexit 101\n' >"$partial/usr/sbin/policy-rc.d" # packages must not start services
  chmod +x "$partial/usr/sbin/policy-rc.d"
  mkdir -p "$partial/etc/dpkg/dpkg.cfg.d" "$partial/etc/postgresql-common"
  printf 'force-unsafe-io\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/doc/*\n' >"$partial/etc/dpkg/dpkg.cfg.d/rowfold"
  echo 'create_main_cluster = false' >"$partial/etc/postgresql-common/createcluster.conf"
  # a sid mirror's Release file may be past its date; proxies are the machine's own
  {
    echo 'Acquire::Check-Valid-Until "false";'
    echo 'Acquire::Retries "3";'
    apt-config dump 2>/dev/null | grep -E '^Acquire::https?::(Proxy|.*::Proxy)' || true
  } >"$partial/etc/apt/apt.conf.d/99rowfold"
  mkdir -p "$partial/etc/ssl/certs"
  if [[ -r /etc/ssl/certs/ca-certificates.crt ]]; then cp -L /etc/ssl/certs/ca-certificates.crt "$partial/etc/ssl/certs/"; fi
  cp -L /etc/resolv.conf "$partial/etc/resolv.conf" 2>/dev/null || true

  slow "installing ${*} in it" "30 to 60 s"
  in_root "$partial" bash -c '
    set -e
    export DEBIAN_FRONTEND=noninteractive
    useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin mysql
    useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin redis
    apt-get -q update
    apt-get -q -y install --no-install-recommends "$@"
    apt-get clean' - "$@" </dev/null >>"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; die "installing the servers in the sid root failed, see $log"; }
  touch "$partial/.complete"
  mv "$partial" "$root"
}

# go_is_enough GO: whether this Go can build FerretDB.
go_is_enough() {
  local have
  have=$("$1" env GOVERSION 2>/dev/null) || return 1
  have=${have#go}
  [[ $(printf '%s\n' "$FERRETDB_GO" "$have" | sort -V | head -n 1) == "$FERRETDB_GO" ]]
}

build_ferretdb() {
  [[ ! -x $FERRETDB ]] || return 0
  local log=$CACHE/ferretdb.log work=$CACHE/ferretdb.partial module go='' dir
  module=github.com/FerretDB/FerretDB/v2/cmd/ferretdb@$FERRETDB_VERSION
  rm -rf "$work"
  mkdir -p "$work"
  for dir in '' /usr/local/go/bin/ /usr/lib/go/bin/; do
    if GOTOOLCHAIN=local go_is_enough "${dir}go"; then go=${dir}go; break; fi
  done
  if [[ -n $go ]]; then
    slow "building FerretDB $FERRETDB_VERSION with this machine's Go, log in $log" "1 to 2 min"
    env GOPATH="$work" GOCACHE="$work/cache" GOMODCACHE="$work/mod" GOBIN="$work/bin" GOFLAGS=-modcacherw CGO_ENABLED=0 GOTOOLCHAIN=local \
      "$go" install -trimpath "$module" </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "building FerretDB failed, see $log"; }
  else
    slow "building FerretDB $FERRETDB_VERSION with Debian sid's Go, log in $log" "2 to 3 min"
    # shellcheck disable=SC2016
    SERVICES=$work in_root "$ROOT" bash -c '
      set -e
      export DEBIAN_FRONTEND=noninteractive
      apt-get -q -y install --no-install-recommends golang-go
      export HOME=/srv/services GOPATH=/srv/services GOCACHE=/srv/services/cache GOMODCACHE=/srv/services/mod
      export GOBIN=/srv/services/bin GOFLAGS=-modcacherw CGO_ENABLED=0 GOTOOLCHAIN=local SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
      go install -trimpath "$1"
      apt-get -q -y purge --autoremove golang-go
      apt-get clean' - "$module" </dev/null >"$log" 2>&1 || { tail -n 20 "$log" >&2; die "building FerretDB failed, see $log"; }
  fi
  mv "$work/bin/ferretdb" "$FERRETDB"
  rm -rf "$work"
}

# fill_cache [--mariadb]: to be called with the cache's lock held.
fill_cache() {
  make_root "$ROOT" "${ROOT_PACKAGES[@]}"
  build_ferretdb
  if [[ ${1:-} == --mariadb ]]; then make_root "$MARIADB_ROOT" "${MARIADB_PACKAGES[@]}"; fi
}
