"""`python -m gateway`: the dialects and the web app."""

from gateway import app
from meshkit.server import run

if __name__ == "__main__":
    run(app.main)
