"""The Sumi API: flows as Masumi services."""
