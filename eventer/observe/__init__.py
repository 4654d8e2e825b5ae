"""Metrics registry and log."""
