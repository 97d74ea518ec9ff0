"""The engine: the flow that runs agents and crews (expose `agents`, which the runner places by itself).

`app` is what a host loads; it and `flow` import nothing heavy, so that a mesh without agents pays little for it.  The
rest stands on pydantic-ai (extra `agents`) and is imported, in a thread, when the first job of a worker needs it:

- `turn` is one go of one agent: instructions, tools, a model, until it answers
- `crew` orders the turns of a crew: by dependencies, or as a manager says
- `recorded` makes calls of models durable, streamed, retried and counted; `toolbox` does so for calls of tools
- `models` chooses what answers: a provider, or `offline`, which is deterministic and needs no network
- `guard` lets requests go only where the mesh may call
"""
