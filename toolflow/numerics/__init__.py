"""The one definition of the project's integer arithmetic: rounding, digits, Winograd, sparsity and confidence."""
