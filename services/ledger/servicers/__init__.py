"""The ledger on the wire: unpack, authenticate, call, pack."""
