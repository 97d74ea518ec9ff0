"""Agents and crews that `agentmesh up --examples` adds: data, which the mesh's engine runs."""
