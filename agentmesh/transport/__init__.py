"""gRPC as the mesh uses it: servers, channels, one interceptor a side, the table of errors, JSON in messages."""
