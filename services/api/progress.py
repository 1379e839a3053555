"""Progress: pure rules of what state a topic is in, and why it waits."""
