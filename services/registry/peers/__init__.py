"""Other services, as the registry calls them: the adapters of `services.registry.ports`."""
