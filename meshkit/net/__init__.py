"""Addresses: where services listen and are dialled, by TLS or not, from where a call comes, and what may be called."""
