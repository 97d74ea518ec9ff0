"""Adapters of `services.auth.ports.store`."""
