#!/usr/bin/env bash
# Programs that are built from Go modules, pinned in tools/go_tools.txt. They are opt-in: nothing else needs Go.
#
#   tools/go_tools.sh build [NAME...]   builds those that are missing, all without names; the last line says what is missing
#   tools/go_tools.sh path NAME         prints where it is; fails if it has not been built
#
# They are kept in ${XDG_CACHE_HOME:-~/.cache}/agentmesh/tools/VERSION/NAME. Go's own caches are those of the machine.
set -euo pipefail

table=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/go_tools.txt
cache=${XDG_CACHE_HOME:-$HOME/.cache}/agentmesh/tools
workspace=
trap 'rm -rf ${workspace:+"$workspace"}' EXIT
trap 'exit 130' INT TERM

pinned() { # NAME -> module version package tags hash
  awk -v name="$1" '$1 == name { print $2, $3, $4, $5, $6; found = 1 } END { exit !found }' "$table"
}

place() { # NAME
  local pin
  pin=$(pinned "$1") || { echo "tools: $1 is not in $table" >&2; return 2; }
  set -- "$1" $pin
  echo "$cache/$3/$1"
}

# Modules come through the configured proxy alone, and no setting of the machine changes what is built.
prepare_go() {
  if ! command -v go >/dev/null; then
    echo "tools: there is no Go on this machine (https://go.dev/doc/install); only these tools need it" >&2
    return 1
  fi
  local proxy
  proxy=$(go env GOPROXY | sed -E 's/[,|]?direct$//')
  export GOPROXY=${proxy:-off} GONOPROXY=none GOWORK=off GOFLAGS= GO111MODULE=on CGO_ENABLED=0
  unset GOOS GOARCH GOBIN
}

# The words of the go command in place of hundreds of names: what is left of them when it failed has spaces.
show_progress() { # NAME
  awk -v name="$1" '
    /^go: downloading / { if (++modules % 100 == 0) print "tools: " name ": " modules " modules downloaded"; next }
    / / { next }
    ++packages % 250 == 0 { print "tools: " name ": " packages " packages compiled" }
    { fflush() }' >&2
}

# Its module is built as its own project builds it, in its own directory: with its go.sum and its replacements, which
# `go install MODULE@VERSION` does not take. What is in place is complete: it is built beside it, and renamed.
build() { # NAME
  local name=$1 target module version package tags hash directory
  target=$(place "$name") || return
  read -r module version package tags hash <<<"$(pinned "$name")"
  echo "tools: building $name $version; the first time takes minutes" >&2
  mkdir -p "$(dirname "$target")" && workspace=$(mktemp -d "$(dirname "$target")/.$name.XXXXXX") || return
  if ! go mod download -json "$module@$version" >"$workspace/log" 2>&1; then
    not_built "$name" '"Error"|^go: '
  elif ! grep -qF "\"Sum\": \"$hash\"" "$workspace/log"; then
    echo "the module that came is not the one that is pinned: $hash" >>"$workspace/log"
    not_built "$name" ' pinned: '
  else
    directory=$(sed -nE 's/^[[:space:]]*"Dir": "(.*)",?$/\1/p' "$workspace/log")
    if ! (cd "$directory" && GOTMPDIR=$workspace go build -v -mod=readonly -buildvcs=false -trimpath -ldflags='-s -w' \
      -tags="${tags#-}" -o "$workspace/$name" "$package") 2>&1 | tee "$workspace/log" | show_progress "$name"; then
      not_built "$name" ' '
    else
      mv -f "$workspace/$name" "$target" && echo "tools: $target" >&2
    fi
  fi
  rm -rf "$workspace"
  [ -x "$target" ]
}

not_built() { # NAME PATTERN-OF-LINES-THAT-SAY-WHY
  grep -v '^go: downloading ' "$workspace/log" | grep -E "$2" | tail -n 5 >&2
  echo "tools: $1 was not built" >&2
}

build_all() { # NAME...
  local name target missing=() lacking=()
  [ $# -gt 0 ] || set -- $(awk '!/^#/ { print $1 }' "$table")
  for name in "$@"; do
    target=$(place "$name") || return
    [ -x "$target" ] || missing+=("$name")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    echo "tools: $* in $cache" >&2
    return
  fi
  prepare_go || return
  for name in "${missing[@]}"; do
    build "$name" || lacking+=("$name")
  done
  if [ ${#lacking[@]} -gt 0 ]; then
    echo "tools: missing: ${lacking[*]}" >&2
    return 1
  fi
}

case "${1-}" in
  build) shift; build_all "$@" ;;
  path)
    target=$(place "${2-}")
    [ -x "$target" ] || exit 1
    echo "$target"
    ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
