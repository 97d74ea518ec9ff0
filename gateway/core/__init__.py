"""What dialects ask of the mesh, and the forms that several of them share."""
