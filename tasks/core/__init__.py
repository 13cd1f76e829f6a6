"""Pure code: records, errors, text, statistics. No I/O, no clock, no settings, no heavy library."""
