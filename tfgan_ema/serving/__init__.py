"""A server for an exported generator that speaks TF Serving's protocol, for trying things out.

`models` holds the newest version and answers requests in batches; `rest` and `grpc` are the two
ways in; `server` runs them until it is told to stop. Production belongs to TF Serving itself.
"""
