"""Reputation: pure rules of when bounces and complaints pause bulk mail."""
