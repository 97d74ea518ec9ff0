"""PostgreSQL for tests: a real server in a temporary folder, ended by the process that started it.

Take the fixture `postgres` (`tests/conftest.py` has it for every test): the URL of a fresh, empty database; the server
behind it is shared by the tests of one pytest process.  `Settings(database_url=postgres)`, or `AGENTMESH_DATABASE_URL`
for a process.

What stops, kills or freezes a server starts one of its own:

    with running_postgres() as server:
        url = server.fresh()                  # CREATE DATABASE; any number
        server.restart()                      # and stop(), start(), kill(), freeze(), thaw(); the address stays

Redis is in `tests.meshkit.redis_server`.
"""
