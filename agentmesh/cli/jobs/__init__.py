"""Commands about jobs: what is run, what runs, what it asks, costs and makes."""
