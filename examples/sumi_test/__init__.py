"""A service in two stages: it starts with a form and stops in the middle to ask a human."""
