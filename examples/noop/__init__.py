"""The smallest flow: it does nothing, so what it costs is what the mesh costs."""
