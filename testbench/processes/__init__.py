"""Doors that run for ever: clock, collector, broker."""
