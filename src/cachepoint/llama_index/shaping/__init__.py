"""What changes the prompt itself, in the forms that LlamaIndex knows: memories, postprocessors, agents."""
