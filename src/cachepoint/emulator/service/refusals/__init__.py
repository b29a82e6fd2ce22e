"""What Bedrock refuses, in its own words: a table of checks, of which the first refusal is the answer."""
