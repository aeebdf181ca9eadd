"""The worker: the process that runs one model (docs/protocol.md)."""
