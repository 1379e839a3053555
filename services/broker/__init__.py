"""The broker: grants permits at the rate that settings, account and SES's answers allow."""
