"""The embedded escrow ledger: what a Masumi payment service and a chain do, as a service of the mesh."""
