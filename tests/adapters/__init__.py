"""Adapters, each against the real thing or a server of ours over a real socket."""
