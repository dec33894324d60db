"""Verbs a person would say: plain functions that take a transaction first and authorise inside."""
