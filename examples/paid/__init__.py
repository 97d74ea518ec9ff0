"""A small flow that is paid for before it works."""
