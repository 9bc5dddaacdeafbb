"""Generated from protos/agentmesh/v1 by `make protos`; every other module here is overwritten by it."""
