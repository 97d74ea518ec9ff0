"""The registry: which apps are exposed, which flows are in them, and the boot that starts them."""
