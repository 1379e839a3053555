"""/v1/account: rate, quota, events, reputation; and the steering of them."""
