"""Operators that run, resume and cancel workflows."""
