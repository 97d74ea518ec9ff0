"""What the ledger needs from outside: protocols that adapters keep."""
