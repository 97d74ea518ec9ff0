"""An app as strangers write them: it knows kodosumi and Ray, and nothing of the mesh."""
