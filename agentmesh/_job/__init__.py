"""The insides of `agentmesh.tracer`: what runs, and what it sends, in the process of a job.  Hosts call it."""
