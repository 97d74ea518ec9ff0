"""The registry's three services: unpack, call, pack.  No rule of the registry lives here."""
