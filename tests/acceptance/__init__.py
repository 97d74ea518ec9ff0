"""The acceptance story, in every shape that a mesh may have."""
