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
# On the wire it is `mesh.runner.v1`; to Python everybody's imports are one room, in which `mesh` may be a user's file.
mv "$draft/mesh" "$draft/agentmesh_protos"
find "$draft/agentmesh_protos" -name '*.py*' -exec sed -i.bak -E \
  -e 's/^(from|import) mesh([. ])/\1 agentmesh_protos\2/' -e "s/'mesh\.([a-z0-9_.]+_pb2)'/'agentmesh_protos.\1'/" {} +
find "$draft/agentmesh_protos" -name '*.bak' -delete
# The transcoder needs every imported file, and error details for its JSON errors.
buf build --as-file-descriptor-set -o "$draft/agentmesh_protos/descriptors.binpb"
rm -rf "$out/agentmesh_protos"
mv "$draft/agentmesh_protos" "$out/agentmesh_protos"
