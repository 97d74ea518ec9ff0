"""What the auth service needs from outside: protocols that adapters keep."""
