"""Drivers: each speaks to one kind of device."""
