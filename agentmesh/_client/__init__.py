"""The insides of `agentmesh.client`, which is what people import."""
