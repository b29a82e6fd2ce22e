"""What changes the prompt itself, as LangChain has it: middleware for agents, runnables for chains."""
