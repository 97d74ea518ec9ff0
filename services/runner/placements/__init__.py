"""Where hosts run: one adapter of `ports.placement` each."""
