"""Schedules: what people do with them, and what they fire."""
