"""Traces as data: what a trace is, a small server that collects them over OTLP, and a reader of that or of Jaeger.

    with serving_traces() as served:                   # OTLP over gRPC in, Jaeger's HTTP API v3 out
        ...                                            # processes export to served.otlp_endpoint
        found = settled(TraceReader(served.url), trace_id)

Nothing here makes spans: that is `agentmesh.telemetry`.
"""
