"""Where records come from: one adapter a kind of source, all writing to the raw zone."""
