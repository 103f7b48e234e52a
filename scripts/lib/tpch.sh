# shellcheck shell=bash
# Shared by scripts/demo and scripts/bench: the release build of rowfold, and the TPC-H program that loads, writes and judges.

# build_release: builds both and sets ROWFOLD and TPCH to the programs.
build_release() {
  local built
  slow "building rowfold and its TPC-H tools with optimization" "5 to 10 min the first time, then seconds"
  built=$(cargo build --release --locked --bin rowfold --bench tpch --message-format=json-render-diagnostics) || die "the build failed"
  ROWFOLD=$(executable rowfold <<<"$built")
  TPCH=$(executable tpch <<<"$built")
  [[ -x $ROWFOLD && -x $TPCH ]] || die "the build gave no programs"
}

# executable NAME: the program of that name in cargo's messages.
executable() { sed -n 's/.*"name":"'"$1"'".*"executable":"\([^"]*\)".*/\1/p' | tail -n 1; }
