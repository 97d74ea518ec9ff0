"""The auth service: who may sign in, what their tokens say, and which tokens must fail."""
