"""/v1/suppressions: who is not mailed any more."""
