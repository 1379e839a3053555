"""Expiry: what has not left by then is stopped."""
