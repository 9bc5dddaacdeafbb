#!/usr/bin/env bash
# Prints the name of a Python that the locks were made for (3.11 to 3.13), `python3` first. Fails with one line if there is none.
set -euo pipefail
for candidate in python3 python3.13 python3.12 python3.11; do
  if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
    echo "$candidate"
    exit 0
  fi
done
have=$(python3 -c 'import sys; print("python3 is %d.%d" % sys.version_info[:2])' 2>/dev/null || echo "there is no python3")
echo "agentmesh needs Python 3.11, 3.12 or 3.13; $have on this machine" >&2
exit 1
