"""Implementations of the ports, named `<implementation>_<port>.py`. They get plain values; only bootstrap reads config."""
