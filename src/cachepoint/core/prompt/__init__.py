"""A request as Bedrock's cache sees it."""
