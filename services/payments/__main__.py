"""`python -m services.payments`: serve until SIGTERM."""

from meshkit import server
from services.payments import app

if __name__ == "__main__":
    server.run(app.main)
