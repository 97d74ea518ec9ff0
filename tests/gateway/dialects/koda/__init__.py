"""Koda."""
