"""The pages, each section in a module of its own."""
