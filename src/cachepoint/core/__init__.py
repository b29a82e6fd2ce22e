"""The core: pure decisions. No I/O, no framework, no boto3; the clock comes from outside."""
