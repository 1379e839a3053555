"""The scheduler: decides when mail is due, in which order, and for which sender."""
