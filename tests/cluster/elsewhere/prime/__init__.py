"""An app as strangers write them, in the shape of kodosumi's `prime`: it knows kodosumi and Ray, and nothing of us."""
