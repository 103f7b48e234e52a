# shellcheck shell=bash
# Native mode: the servers of the sid root (lib/root.sh), started by this machine's root on 127.0.0.1.
# Inside a root the services folder is /srv/services; that bind mount lives and dies with the server's own mount namespace.
#
#   mysql      row binlog with GTIDs and full row metadata, durable (sync_binlog=1, innodb_flush_log_at_trx_commit=1): the engine checks for it
#   redis      no persistence: to rowfold it is a buffer that may vanish
#   postgres   what FerretDB keeps documents in; fsync and synchronous_commit stay on
#   mongo      FerretDB, without authentication
#   mariadb    only with --mariadb; flags as MySQL's, and it compresses what is large in its binlog, so that both forms are read

NATIVE_SERVERS=(mysql redis postgres mongo mariadb)

# owned DIR OWNER ROOT: makes a folder under the services folder, owned by a user of the root; fails when it was there.
owned() {
  mkdir -p "$SERVICES/data"
  [[ ! -d $SERVICES/data/$1 ]] || return 1
  rm -rf "$SERVICES/data/$1.new"
  mkdir "$SERVICES/data/$1.new"
  in_root "$3" chown "$2" "/srv/services/data/$1.new"
}

# A data folder is made as NAME.new and renamed once it is whole, so that an interrupted first start leaves nothing half made.
keep() { mv "$SERVICES/data/$1.new" "$SERVICES/data/$1"; }

logged() { # NAME COMMAND...
  local name=$1
  shift
  "$@" </dev/null >>"$SERVICES/log/$name.log" 2>&1 || { tail -n 20 "$SERVICES/log/$name.log" >&2; die "$name: cannot make its data folder, see $SERVICES/log/$name.log"; }
}

# A killed server leaves its lock files behind. Their pid counts as alive while nobody has reaped the process, so they are removed here,
# where it is known that the server does not run.
unlock() { # NAME
  local pid file
  rm -f "$SERVICES/data/$1"/server.{pid,sock,sock.lock}
  file=$SERVICES/data/$1/postmaster.pid
  if [[ -e $file ]] && read -r pid <"$file" && ! started_at "$pid" >/dev/null; then rm -f "$file"; fi
}

# Flags that MySQL and MariaDB share.
sql_flags() { # NAME
  printf '%s\n' \
    "--user=mysql" "--datadir=/srv/services/data/$1" "--pid-file=/srv/services/data/$1/server.pid" "--socket=/srv/services/data/$1/server.sock" \
    "--bind-address=127.0.0.1" "--port=$(port "$1")" "--init-file=/srv/services/run/accounts.sql" \
    --log-bin=binlog --sync-binlog=1 --innodb-flush-log-at-trx-commit=1 --binlog-row-metadata=FULL \
    --local-infile=1 --max-connections=300 --max-allowed-packet=64M --character-set-server=utf8mb4 \
    "--innodb-buffer-pool-size=${ROWFOLD_SQL_BUFFER:-1G}"
}

start_mysql() {
  if owned mysql mysql "$ROOT"; then
    slow "making MySQL's data folder" "10 s"
    logged mysql in_root "$ROOT" mysqld --no-defaults --initialize-insecure --user=mysql --datadir=/srv/services/data/mysql.new
    keep mysql
  fi
  claim mysql
  unlock mysql
  local -a flags
  mapfile -t flags < <(sql_flags mysql)
  spawn mysql "$LIB/in-root" "$ROOT" "$SERVICES" mysqld --no-defaults "${flags[@]}" \
    --server-id=1 --mysqlx=0 --secure-file-priv=NULL --gtid-mode=ON --enforce-gtid-consistency=ON --innodb-redo-log-capacity=1G
}

start_mariadb() {
  if owned mariadb mysql "$MARIADB_ROOT"; then
    slow "making MariaDB's data folder" "10 s"
    logged mariadb in_root "$MARIADB_ROOT" mariadb-install-db --no-defaults --user=mysql --datadir=/srv/services/data/mariadb.new --skip-test-db --force
    keep mariadb
  fi
  claim mariadb
  unlock mariadb
  local -a flags
  mapfile -t flags < <(sql_flags mariadb)
  spawn mariadb "$LIB/in-root" "$MARIADB_ROOT" "$SERVICES" mariadbd --no-defaults "${flags[@]}" \
    --server-id=2 --gtid-domain-id=0 --gtid-strict-mode=ON --binlog-format=ROW --innodb-log-file-size=512M --log-bin-compress=ON
}

start_redis() {
  owned redis redis "$ROOT" && keep redis
  claim redis
  spawn redis "$LIB/in-root" "$ROOT" "$SERVICES" setpriv --reuid=redis --regid=redis --clear-groups \
    redis-server --bind 127.0.0.1 --port "$(port redis)" --dir /srv/services/data/redis --daemonize no \
    --save '' --appendonly no --maxmemory 2gb --maxmemory-policy noeviction
}

start_postgres() {
  local bin=/usr/lib/postgresql/18/bin
  if owned postgres postgres "$ROOT"; then
    slow "making PostgreSQL's data folder" "10 s"
    logged postgres in_root "$ROOT" setpriv --reuid=postgres --regid=postgres --init-groups \
      "$bin/initdb" --pgdata=/srv/services/data/postgres.new --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync
    cat >>"$SERVICES/data/postgres.new/postgresql.conf" <<'CONF'
shared_preload_libraries = 'pg_cron,pg_documentdb_core,pg_documentdb'
cron.database_name = 'postgres'
documentdb.enableNowSystemVariable = true
documentdb.enableBypassDocumentValidation = true
documentdb.enableLetAndCollationForQueryMatch = true
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
shared_buffers = 512MB
max_wal_size = 4GB
fsync = on
synchronous_commit = on
jit = off
CONF
    keep postgres
  fi
  claim postgres
  unlock postgres
  spawn postgres "$LIB/in-root" "$ROOT" "$SERVICES" setpriv --reuid=postgres --regid=postgres --init-groups \
    "$bin/postgres" -D /srv/services/data/postgres -p "$(port postgres)"
}

start_mongo() {
  mkdir -p "$SERVICES/data/mongo"
  claim mongo
  spawn mongo "$FERRETDB" "--listen-addr=127.0.0.1:$(port mongo)" "--postgresql-url=$(postgres_url)" \
    --no-auth --telemetry=disable --debug-addr=- --log-level=WARN "--state-dir=$SERVICES/data/mongo"
}

postgres_url() { echo "postgres://postgres@127.0.0.1:$(port postgres)/postgres?pool_max_conns=100"; }

psql_root() { in_root "$ROOT" /usr/lib/postgresql/18/bin/psql -X -q -v ON_ERROR_STOP=1 "postgres://postgres@127.0.0.1:$(port postgres)/postgres" "$@"; }

healthy() { # NAME
  case $1 in
    mysql) in_root "$ROOT" mysql --no-defaults -h127.0.0.1 "-P$(port mysql)" -urowfold -prowfold -e 'DO 1' ;;
    mariadb) in_root "$MARIADB_ROOT" mariadb --no-defaults -h127.0.0.1 "-P$(port mariadb)" -urowfold -prowfold -e 'DO 1' ;;
    redis) [[ $(in_root "$ROOT" redis-cli -p "$(port redis)" ping) == PONG ]] ;;
    postgres) psql_root -c 'SELECT 1' ;;
    mongo) "$FERRETDB" ping "--listen-addr=127.0.0.1:$(port mongo)" "--postgresql-url=$(postgres_url)" --no-auth --debug-addr=- "--state-dir=$SERVICES/data/mongo" ;;
  esac
}

# native_up [--mariadb]
native_up() {
  mkdir -p "$CACHE"
  locked "$CACHE/lock" fill_cache "$@"
  cp "$LIB/accounts.sql" "$SERVICES/run/accounts.sql"
  local -a wanted=(mysql redis postgres) started=()
  if [[ ${1:-} == --mariadb ]]; then wanted+=(mariadb); fi
  local name
  for name in "${wanted[@]}"; do
    if ! running "$name"; then
      "start_$name"
      started+=("$name")
    fi
  done
  wait_healthy postgres 120 healthy postgres
  psql_root -c 'SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS documentdb CASCADE' </dev/null >>"$SERVICES/log/postgres.log" 2>&1 ||
    die "CREATE EXTENSION documentdb failed, see $SERVICES/log/postgres.log"
  if ! running mongo; then
    start_mongo
    started+=(mongo)
  fi
  for name in "${wanted[@]}" mongo; do wait_healthy "$name" 120 healthy "$name"; done
  ((${#started[@]} == 0)) || say "started ${started[*]}"
}

native_down() {
  halt mongo TERM 10
  halt postgres INT 60
  halt redis TERM 10
  halt mysql TERM 90
  halt mariadb TERM 90
}

native_status() {
  local name state=0
  for name in "${NATIVE_SERVERS[@]}"; do
    if ! running "$name"; then
      if [[ $name == mariadb ]]; then continue; fi
      echo "$name: down"
      state=1
    elif healthy "$name" >/dev/null 2>&1; then
      echo "$name: up on 127.0.0.1:$(port "$name"), pid $(pid_of "$name")"
    else
      echo "$name: running, pid $(pid_of "$name"), but does not answer; see $SERVICES/log/$name.log"
      state=1
    fi
  done
  return $state
}
