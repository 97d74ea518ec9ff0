"""What `pip install` brings."""
