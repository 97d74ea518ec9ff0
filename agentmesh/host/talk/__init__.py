"""What goes through the sockets between a host and its children, for both ends."""
