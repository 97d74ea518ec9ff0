#!/bin/sh
# Generate Python, its stubs and Envoy's descriptor set from our protos into folder $1, in one move.
set -eu
out=$1
mkdir -p "$out"
draft=$(mktemp -d "$out/.draft.XXXXXX")
trap 'rm -rf "$draft"' EXIT
python -m grpc_tools.protoc -I protos -I third_party/googleapis \
  --python_out="$draft" --grpc_python_out="$draft" --mypy_out="quiet:$draft" --mypy_grpc_out="quiet:$draft" \
  $(find protos -name '*.proto' | LC_ALL=C sort)
# The transcoder needs every imported file, and error details for its JSON errors.
buf build --as-file-descriptor-set -o "$draft/mesh/descriptors.binpb"
rm -rf "$out/mesh"
mv "$draft/mesh" "$out/mesh"
