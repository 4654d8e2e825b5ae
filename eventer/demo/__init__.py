"""A fake API server and a recorded stream: the demo shows them, the tests use them."""
