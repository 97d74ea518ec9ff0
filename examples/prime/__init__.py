"""Counts how far apart primes are: a flow that keeps a processor busy and says how far it is."""
