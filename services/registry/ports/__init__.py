"""What the registry needs from outside: a place to keep exposes, and somebody who runs apps."""
