"""Webhooks: what people do with them, and what they are sent."""
