#!/bin/sh
# Fail if what is written from the code is not what the code makes: the OpenAPI documents, which must be OpenAPI 3.1, and
# the pages of docs/reference.
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
python -m gateway.openapi "$fresh"
diff -r -q "$fresh" gateway/web/openapi || { echo "gateway/web/openapi is stale: run 'make openapi' and commit" >&2; exit 1; }
python -m openapi_spec_validator --schema 3.1.0 gateway/web/openapi/*.json
rm "$fresh"/*
python -m tools.reference "$fresh"
for page in "$fresh"/*; do
  cmp "$page" "docs/reference/${page##*/}" || { echo "docs/reference is stale: run 'make reference' and commit" >&2; exit 1; }
done
