"""`python -m services.ledger`: serve until SIGTERM."""

from meshkit import server
from services.ledger import app

if __name__ == "__main__":
    server.run(app.main)
