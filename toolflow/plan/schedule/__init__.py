"""The schedule: what runs when, and where each tensor is stored."""
