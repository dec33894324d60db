"""The rules of the bench, pure: no network, no storage, no framework."""
