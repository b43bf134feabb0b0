"""Estimate the initiation interval of each pipelined loop from its memory ports and recurrences.

`compile` turns a unit into LLVM IR; `ir`, `debug` and `body` read it; `memories` finds what is accessed, `recurrences`
what must wait for what, `delays` for how long; `analyse` puts it together. No vendor's tool has confirmed the result:
it is a lower bound, by a scheduler's rules, of delays that others have measured.
"""
