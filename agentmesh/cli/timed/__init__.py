"""Commands about what happens by itself: schedules, webhooks, and what is forgotten."""
