"""Inference engines: whole batches for evaluation, streams for serving."""
