#!/usr/bin/env bash
# Fails when the .proto files break a client of the last release. Usage: tools/check_breaking.sh PATH_TO_BUF
set -euo pipefail
buf=$1
if ! tag=$(git describe --tags --abbrev=0 --match 'v*' 2>/dev/null); then
  echo "buf breaking: no release tag yet, nothing to compare with"
  exit 0
fi
echo "buf breaking against $tag"
"$buf" breaking protos --exclude-imports --against ".git#tag=$tag,subdir=protos"
