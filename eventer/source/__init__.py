"""Bytes of an API server become Events and facts. Decides nothing about people."""
