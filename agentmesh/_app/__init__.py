"""The insides of `agentmesh.serve`: how an app is found, and what it says of its flows.  Hosts call it."""
