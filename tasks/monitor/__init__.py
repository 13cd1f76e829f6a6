"""Monitor: collect -> drift. What the model is asked and answers now, against what it was measured on."""
