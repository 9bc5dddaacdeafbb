#!/usr/bin/env bash
# What `make check-deploy` runs over the files of this directory; the argument is the directory of the Python tools.
# Prometheus and Jaeger judge their own files where `make tools` has built them; elsewhere that part is said to be
# skipped, and the rest counts.
set -euo pipefail
bin=$(cd "${1:?usage: deploy/check.sh .venv/bin}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")"

tool() { # NAME -> where it is
  ../tools/go_tools.sh path "$1" 2>/dev/null || command -v "$1"
}

skipped() { # NAME WHAT
  echo "SKIPPED: $2: there is no $1; \`make tools\` builds it"
}

echo "compose: the schema of the Compose specification"
"$bin/check-jsonschema" --quiet --builtin-schema vendor.compose-spec compose.yaml

echo "hadolint"
"$bin/hadolint" Dockerfile

echo "what the files say is there"
# `make test` also runs the mesh of the compose file.
(cd .. && "$bin/pytest" tests/deploy --ignore tests/deploy/test_compose_mesh.py)

if promtool=$(tool promtool); then
  echo "promtool: configuration, rules, tests of rules"
  "$promtool" check config --lint=all --lint-fatal prometheus/prometheus.yml
  "$promtool" test rules prometheus/tests/*.yaml
else
  skipped promtool "configuration and rules of Prometheus"
fi

if jaeger=$(tool jaeger); then
  echo "jaeger: its configuration"
  "$jaeger" validate --config jaeger/config.yaml
else
  skipped jaeger "configuration of Jaeger"
fi
