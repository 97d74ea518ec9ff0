"""What the runner needs of the world, as protocols; nothing here says how."""
