"""The services of the runner: unpack, call, pack."""
