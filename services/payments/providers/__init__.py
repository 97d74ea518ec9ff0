"""Adapters of `services.payments.ports.provider`: whoever keeps the escrows."""
