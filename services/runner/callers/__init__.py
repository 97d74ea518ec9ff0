"""What callers and owners are due, and held to: shares, pace, repeats, secrets, standing."""
