"""Paging: limits and cursors out of the query of a URL."""
