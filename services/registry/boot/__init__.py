"""Boots: starting and stopping apps, so that what runs is what is defined, and saying what happens meanwhile."""
