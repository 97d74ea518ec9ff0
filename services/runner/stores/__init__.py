"""Where jobs are kept: one adapter of `ports.store` each."""
