"""Reflex doors: what a tab remembers, and handlers of a few lines; every one of them guarded."""
