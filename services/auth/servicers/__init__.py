"""The auth service on the wire: unpack, call, pack."""
