"""Retention: what is kept for a time only, in steps that hold up nothing."""
