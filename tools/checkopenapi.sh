#!/bin/sh
# Fail if the OpenAPI documents are not what the contract and the dialects make, or are not OpenAPI 3.1.
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
python -m gateway.openapi "$fresh"
diff -r -q "$fresh" gateway/web/openapi || { echo "gateway/web/openapi is stale: run 'make openapi' and commit" >&2; exit 1; }
python -m openapi_spec_validator --schema 3.1.0 gateway/web/openapi/*.json
