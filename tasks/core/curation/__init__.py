"""Rules of curation: quality, language, near duplicates, contamination, the split."""
