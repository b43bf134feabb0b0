"""Search: proposers of candidates, executors that judge them here or elsewhere, and what is known so far, on disk."""
