"""The shared server library: what every service of the mesh stands on, and nothing about any one of them."""
