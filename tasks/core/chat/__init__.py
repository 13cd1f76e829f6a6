"""The prompt, the sentence of abstention, and requests that share a beginning."""
