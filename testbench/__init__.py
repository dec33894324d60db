"""Testbench: a self-hosted test bench for IoT devices."""

__version__ = "0.1.0"
