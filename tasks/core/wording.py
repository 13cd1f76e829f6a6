"""Names of metrics and numbers as people read them: points out of 100, a share of 0.5 being 50 points."""

LABELS = {
    "score": "Answer quality",
    "exact_match": "Exact answers",
    "token_f1": "Closeness to the right answer",
    "hallucinated": "Wrong or made-up answers",
    "ungrounded": "Facts the context does not hold",
    "abstained": "Declined answers",
    "probe": "General knowledge",
    "question_embedding": "Meaning of the questions",
    "quality": "Quality",
    "latency_s": "Seconds to answer",
    "cost": "Processor seconds",
}


def label(metric: str) -> str:
    """Return the metric's name as a person would say it."""
    return LABELS.get(metric, metric.replace("_", " ").capitalize())


def points(value: float | None) -> str:
    """Return a share as points out of 100."""
    return "not measured" if value is None else f"{100 * value:.1f}"


def signed_points(value: float | None) -> str:
    return "not measured" if value is None else f"{100 * value:+.1f}"
