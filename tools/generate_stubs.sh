#!/usr/bin/env bash
# Generates the Python stubs of protos/ and third_party/protos/. Usage: tools/generate_stubs.sh VENV_BIN_DIRECTORY
# They are made beside the tree and put in place only when every file compiled: a mistake in a .proto breaks nothing.
set -euo pipefail
bin=$(cd "$1" && pwd)
PATH="$bin:$PATH" # protoc looks for the plugins of mypy-protobuf there

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
mkdir "$new/ours" "$new/vendored"

protoc() { "$bin/python" -m grpc_tools.protoc "$@"; }
ours=(protos/agentmesh/v1/*.proto)
services=($(grep -l '^service ' "${ours[@]}")) # file names have no spaces; the bash of macOS has no mapfile

# google.rpc has its stubs in googleapis-common-protos.
protoc -Ithird_party/protos --python_out="$new/vendored" --mypy_out="quiet:$new/vendored" \
  third_party/protos/buf/validate/*.proto third_party/protos/cel/expr/*.proto
protoc -Iprotos -Ithird_party/protos --python_out="$new/ours" --mypy_out="quiet:$new/ours" "${ours[@]}"
protoc -Iprotos -Ithird_party/protos --grpc_python_out="$new/ours" --mypy_grpc_out="quiet:$new/ours" "${services[@]}"

# Replaces what differs, removes what no .proto makes any more.
put_in_place() { # FROM TO
  (cd "$1" && find . -name '*_pb2*.py*' -type f) | while read -r file; do
    mkdir -p "$2/$(dirname "$file")"
    cmp -s "$1/$file" "$2/$file" || cp "$1/$file" "$2/$file"
  done
  (cd "$2" && find . -name '*_pb2*.py*' -type f -not -path '*/__pycache__/*') | while read -r file; do
    [ -e "$1/$file" ] || rm "$2/$file"
  done
}
put_in_place "$new/ours/agentmesh/v1" agentmesh/v1
put_in_place "$new/vendored" third_party/python
