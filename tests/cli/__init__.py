"""The typed client and the command line, against a small real server."""
