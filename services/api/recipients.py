"""/v1/messages, read and steered one by one: what became of each recipient's mail."""
