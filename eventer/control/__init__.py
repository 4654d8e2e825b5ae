"""What a running daemon answers: metrics and health."""
