"""The rpcs over HTTP/1.1 and JSON: the Connect protocol, server-sent events, and two paths that say how it is.

docs/adr/0011 says why, and what is answered before a call begins.
"""
