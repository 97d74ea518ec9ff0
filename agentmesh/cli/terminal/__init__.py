"""How every command talks: what it takes, asks, shows and offers, and as whom it calls a mesh.  It knows no command."""
