"""The rows of the comparison, by what they are about."""
