"""The clock that a board's engines are planned for: delays of devices, and longest paths that were estimated with them.

`rtl_sim.timing` estimates the longest path of one engine on its netlist. That takes minutes, so the planner takes the
paths that `benchmarks/clock.py` recorded for a set of engines (`record.json`).
"""
