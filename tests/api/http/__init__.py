"""The rpcs over HTTP and JSON."""
