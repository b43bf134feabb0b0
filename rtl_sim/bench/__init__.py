"""The bench of a unit: SystemVerilog around the design, and the cocotb side that posts jobs to it."""
