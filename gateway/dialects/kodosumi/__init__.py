"""The kodosumi panel's API."""
