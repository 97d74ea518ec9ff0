"""Hosts: what they hold, how they are told things, and on which replica each hangs."""
