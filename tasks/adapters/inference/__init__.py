"""Engines that answer: whole batches for evaluation, streams for serving."""
