#!/bin/sh
# Resolve what pyproject.toml asks for into constraints.txt, with the hash of every file of every version, and what of
# that the image has into deploy/constraints.txt.  What is locked already stays as it is:
# `make lock UPGRADE="--upgrade-package grpcio"` moves one, `UPGRADE=--upgrade` all.
set -eu
tools=${TOOLS:?a folder for the resolver}
[ -x "$tools/bin/uv" ] || { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet uv; }
build=$(mktemp)
trap 'rm -f "$build"' EXIT
printf 'hatchling\neditables\n' >"$build" # what builds the package itself: the set-up isolates no build
compile() {
  "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
    --no-emit-index-url --custom-compile-command "make lock" "$@" pyproject.toml "$build"
}
compile --extra agents --extra dev --output-file constraints.txt "$@"
# The same versions of what runs a mesh, without what checks one.
compile --extra agents --extra files --extra postgres --extra redis --extra otel --extra ray \
  --constraint constraints.txt --output-file deploy/constraints.txt
