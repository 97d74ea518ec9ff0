"""An app that imports a part of kodosumi that is not offered."""

from kodosumi.service.admin import Panel

app = Panel()
