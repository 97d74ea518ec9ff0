"""Hosts: the processes that hold an app's code and run its jobs.

```
nursery            imports the common libraries once and forks hosts; no threads, no gRPC
└─ host            one per app: talks gRPC to the runner, owns every process below
   └─ zygote       imports the app; no threads, no gRPC; forks
      ├─ handler   answers forms: runs the app's ASGI interface
      ├─ job …     one per job; some are forked ahead and wait
      └─ worker    runs the jobs of flows that share a process, as tasks
```

A fork of a warm process starts in milliseconds and shares its memory.  Nothing forks after gRPC has started: the host
forks its zygote first, which an app with packages of its own has replaced by its own interpreter (`packages`)
before anything is imported.  Every process dies with its parent (`own.processes.die_with_parent`), so none is
left behind.
"""
