"""Tests of the pure core: plans, their validation, wiring, schedule and outcomes."""
