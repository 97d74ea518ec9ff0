"""Adapters of `services.payments.ports.store`."""
