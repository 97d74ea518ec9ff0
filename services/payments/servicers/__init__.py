"""The payments service on the wire: unpack, call, pack."""
