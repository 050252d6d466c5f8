"""Commands that print tables. Nothing here asserts a time."""
