"""What the payments service needs from outside: protocols that adapters keep."""
