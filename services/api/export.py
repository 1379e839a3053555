"""Recipients and suppressions as CSV, streamed page by page."""
