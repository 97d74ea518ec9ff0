"""What is asked of the registry outside of boots: exposes and their flows, as they stand now."""
