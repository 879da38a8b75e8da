"""Ask APIs: HTTP, the contract between a source and the pipeline, the raw archive."""
