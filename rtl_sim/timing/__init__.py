"""Timing estimate: the longest register-to-register paths of a unit's netlist, with published delays.

`synthesis` makes a netlist with Yosys, `netlist` reads it, `cells` says what each primitive takes, `paths` walks it,
`report` shows it. Levels of logic are those of the netlist. Nanoseconds are a model: placement and routing are not
known, and a vendor's synthesis maps differently. Expect ±30 %.
"""
