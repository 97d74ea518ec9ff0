"""Packages that an app asks for beside those of the mesh: an environment of its own, built once.

```
environments         of the mesh, in its data folder
├─ KEY.lock          held by who builds it (alone) and by the apps that run in it (together)
├─ KEY.ready         there once it is whole
└─ KEY               a virtual environment, of whoever asks for the same
```

`asked` reads what a `runtime_env` asks for, `building` has it installed, and `forking.fresh` starts an app there: its
zygote is no fork of the nursery then, which has imported the mesh's packages, but an interpreter of its own.
"""
