"""The Masumi payment service's API, in front of the ledger."""
