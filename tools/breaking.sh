#!/bin/sh
# Refuse a change to the wire that old clients would not survive.  Compares with the newest commit on main that has
# protos; in a checkout without history there is nothing to compare with, and it says so.
set -eu
base=$(git rev-parse --verify --quiet origin/main || git rev-parse --verify --quiet main || true)
if [ -z "$base" ] || ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
  echo "buf breaking: no earlier protos to compare with"
  exit 0
fi
old=$(mktemp -d)
trap 'rm -rf "$old"' EXIT
git archive "$base" buf.yaml protos third_party | tar -x -C "$old"
buf breaking --against "$old"
