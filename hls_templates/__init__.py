"""The engine in C++, and the templates of everything else that is emitted: resources, no Python.

A package of its own, because an editable installation cannot offer the resources of a namespace package.
"""
