"""Envoy, the one front door: its bootstrap, rendered from the contract, and its process."""
