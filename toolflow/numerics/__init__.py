"""The one definition of every number in the project (design section 3)."""
