"""What several dialects need of the Masumi proposals: forms (MIP-003), purchases, and where anybody may call a flow."""
