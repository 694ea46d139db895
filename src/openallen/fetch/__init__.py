"""Plan to files: the engine that runs a plan, verified and resumable."""
