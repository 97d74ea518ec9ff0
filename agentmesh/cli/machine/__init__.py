"""Commands about this machine: they start, check, save and read a mesh of its own.  No call on a mesh elsewhere."""
