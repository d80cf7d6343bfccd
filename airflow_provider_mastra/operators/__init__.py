"""Operators: workflows run, resumed and cancelled by tasks."""
