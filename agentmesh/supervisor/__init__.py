"""`agentmesh up`: every process of the mesh, started, watched, restarted and ended by one small parent.

The parent is the standard library only: it starts its children before anything heavy is imported, and stays small.
It knows the others by their command lines alone (`plan.py`).  What needs gRPC, such as asking for their health,
runs in a short-lived child (`opening.py`).
"""
