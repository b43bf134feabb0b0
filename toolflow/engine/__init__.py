"""The engine as Python sees it: parameters, instruction set, numpy executor, cycle model."""
