"""From records to a measured candidate: train, fetch (the champion to beat), evaluate."""
