"""Chapter 7: a candidate trained with a wrong learning rate is refused by the gate."""

from pathlib import Path

from flows.demo.telling import Telling
from flows.demo.waiting import TurnedOutOtherwiseError
from tasks.core.digests import short
from tasks.runner import find_stage, read_yaml

SPOILT_LEARNING_RATE, SPOILT_PART = 0.5, 4  # a fourth of the examples: enough to spoil a model


def tell(telling: Telling, champion: str) -> None:
    """Raises TurnedOutOtherwiseError where the gate promotes the spoilt candidate."""
    with telling.chapter("A bad candidate") as chapter:
        values = read_yaml(telling.sandbox.root / find_stage("train").config_file)
        rate, examples = values["learning_rate"], int(str(values["max_examples"])) // SPOILT_PART
        chapter.add(f"Somebody sets the learning rate to {SPOILT_LEARNING_RATE} instead of {rate}, and retrains.")
        telling.sandbox.configure("train", {"learning_rate": SPOILT_LEARNING_RATE, "max_examples": examples})
        run = telling.retrain_here("somebody changed the learning rate")
        telling.sandbox.configure("train", {"learning_rate": rate, "max_examples": values["max_examples"]})
        verdict = run["verdict"]
        chapter.add(f"{short(verdict['candidate'])} against {short(champion)}: {verdict['outcome']}.")
        chapter.add(*map(str, verdict["reasons"]))
        chapter.links["release note"] = telling.keep(Path(run["release_note"]), "release_note_bad.html")
        if verdict["outcome"] == "PROMOTE" or telling.champion() != champion:
            raise TurnedOutOtherwiseError("The gate promoted a candidate that was spoilt.")
