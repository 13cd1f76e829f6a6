"""Evaluation: the evaluation set, the models, their predictions, and Ragas' scores of these."""
