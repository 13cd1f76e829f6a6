"""The stages that make and measure a candidate: train, fetch (the champion to beat), evaluate."""
