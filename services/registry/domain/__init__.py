"""The registry's rules: pure functions over frozen records; nothing here reads a file, a clock or a network."""
