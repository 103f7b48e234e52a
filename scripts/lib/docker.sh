# shellcheck shell=bash
# Docker mode: compose.yaml, used whenever a Docker engine answers. The project's name is made from the services folder, so that two
# checkouts do not share containers.

docker_possible() {
  command -v docker >/dev/null && docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1
}

compose() {
  ROWFOLD_MYSQL_PORT=$(port mysql) ROWFOLD_MARIADB_PORT=$(port mariadb) ROWFOLD_REDIS_PORT=$(port redis) ROWFOLD_MONGO_PORT=$(port mongo) \
    docker compose --project-name "rowfold-$(cksum <<<"$SERVICES" | cut -d' ' -f1)" --file "$TOP/compose.yaml" "$@"
}

docker_up() {
  local -a profile=()
  if [[ ${1:-} == --mariadb ]]; then profile=(--profile mariadb); fi
  local name
  for name in mysql mariadb redis mongo; do port "$name" >"$SERVICES/run/$name.port.new"; mv "$SERVICES/run/$name.port.new" "$SERVICES/run/$name.port"; done
  slow "docker compose up" "1 to 3 min the first time, for the images"
  compose "${profile[@]}" up --detach --wait --wait-timeout 300 >&2 || die "docker compose up failed; see: docker compose logs"
}

docker_down() {
  compose --profile mariadb down >&2
  rm -f "$SERVICES"/run/*.port
}
