"""Measurements that the documentation quotes; each subpackage is run with `python -m`."""
