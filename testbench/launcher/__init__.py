"""Starts and watches everything: `python -m testbench …` for operators."""
