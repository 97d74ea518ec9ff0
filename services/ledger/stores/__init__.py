"""Adapters of `services.ledger.ports.store`."""
