"""Backups of a mesh: one file with its databases and its keys, taken while it runs, and put back where nothing is."""
