"""`python -m services.auth`: serve until SIGTERM."""

from meshkit import server
from services.auth import app

if __name__ == "__main__":
    server.run(app.main)
