"""A crew of two agents writes a hymn, without a network."""
