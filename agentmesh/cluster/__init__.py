"""Hosts on the nodes of a Ray cluster.

`python -m agentmesh.cluster` is to a cluster what the nursery is to one machine: it takes the same orders on the same
kind of socket (`bridge`), and has each host started by an actor of its own (`actor`), which has a nursery of its own.
`python -m agentmesh.cluster.local` keeps a Ray of one machine running for a mesh that has no other.

Ray is imported by what talks to it only: it is an extra, and starts threads that nothing of ours is forked from.
"""
