"""The chain of a benchmark as users of each system write it. Each module runs in the environment of its system."""
