"""The rules of Bedrock's prompt cache."""
