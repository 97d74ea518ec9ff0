#!/bin/sh
# Fail if `gen/` is not what the protos generate.
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
sh tools/generate.sh "$fresh"
diff -r -q -x __pycache__ "$fresh" gen || { echo "gen/ is stale: run 'make generate' and commit" >&2; exit 1; }
