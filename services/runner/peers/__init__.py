"""The other services of the mesh, as the runner sees them."""
