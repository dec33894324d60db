"""REST doors: one router a noun, put together in app.py."""
