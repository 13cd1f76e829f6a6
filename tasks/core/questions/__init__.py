"""Questions made from a corpus: facts, wordings, and those the corpus cannot answer."""
