"""The whole pipeline in one process and in virtual time: what a test breaks it with, and SES."""
