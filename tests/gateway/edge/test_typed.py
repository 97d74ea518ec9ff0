"""Our own API in JSON, under `/mesh/v1`: Envoy hands it straight to the services."""
