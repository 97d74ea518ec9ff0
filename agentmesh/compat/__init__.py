"""Lets apps that were written for kodosumi and Ray Serve import what they import.

`install()` adds two finders to `sys.meta_path`:

- the first answers for *import aliases* (environment variable `AGENTMESH_IMPORT_ALIASES`, such as
  `tests.test_unwrap=examples.jkx.app`) and for `kodosumi`, which win over anything on the path, and for `ray.serve`
  where Ray is installed without what Serve needs; it lets `ray.init` say where Ray cannot start (`own_ray`);
- the last is asked when nobody else knows the module: it makes `ray` (only `ray.serve`), and the parent packages of
  aliases.

A real Ray is never hidden, but executed only when something of it is used (`late`); a real kodosumi is hidden, as it
would look for a Ray cluster and a spooler of its own.
"""

from agentmesh.compat.finder import install, is_aliased, real_name
from agentmesh.compat.late import settle

__all__ = ["install", "is_aliased", "real_name", "settle"]
