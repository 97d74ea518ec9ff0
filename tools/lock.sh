#!/bin/sh
# Resolve what pyproject.toml asks for into constraints.txt, with the hash of every file of every version.  What is
# locked already stays as it is: `make lock UPGRADE="--upgrade-package grpcio"` moves one, `UPGRADE=--upgrade` all.
set -eu
tools=${TOOLS:?a folder for the resolver}
[ -x "$tools/bin/uv" ] || { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet uv; }
build=$(mktemp)
trap 'rm -f "$build"' EXIT
printf 'hatchling\neditables\n' >"$build" # what builds the package itself: the set-up isolates no build
"$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
  --no-emit-index-url --custom-compile-command "make lock" --extra agents --extra dev \
  --output-file constraints.txt "$@" pyproject.toml "$build"
