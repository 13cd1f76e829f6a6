"""Where served answers and feedback are kept."""
