"""`python -m services.registry`."""

from meshkit import server
from services.registry import app

server.run(app.main)
