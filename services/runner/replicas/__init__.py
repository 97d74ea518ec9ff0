"""What the runner is made of besides, if others stand beside it."""
