"""Checks what SNS posts, reads the events out of it, and has them written."""
