"""Where exposes are kept: the adapters of `services.registry.ports.exposes`."""
