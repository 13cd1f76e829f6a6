"""The models and items of an evaluation, and Ragas' scores of their answers."""
