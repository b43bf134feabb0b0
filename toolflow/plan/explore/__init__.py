"""Which engines are worth building, and what they would do."""
