"""A sink without Config."""
