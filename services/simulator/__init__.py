"""A stand-in for AWS SES v2 and SNS: the product's demo, its test rig and its load rig."""
