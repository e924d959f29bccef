"""Which design for which task under which budget: sentences by stated rules, each with the rows that support it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from memenc.comparison.contenders import Contender
from memenc.comparison.settings import ComparisonSettings
from memenc.comparison.statistics import Score, task_names

ENOUGH_SEEDS = 3

RULES = (
    "Candidates are memory designs whose measured state fits the budget.",
    "The deciding length is the longest at which a candidate is at or above the threshold; if none ever is, it is the "
    "longest at which one is alive.",
    "Only candidates that are alive there are recommended.",
    "A candidate is recommended if its mean less one standard error is at least the mean of the second; otherwise all "
    "whose mean is above that line are tied, and the one with the fewest operations per token (then state bytes) is "
    "taken.",
    "Alive means above guessing by more than three standard errors, at any length; all are longer than a segment.",
    "What a design loses are the tasks on which it falls below the threshold, named at the shortest such length.",
    "A mitigation is the best memory row of the same task and length that is alive and better by more than both "
    "standard errors.",
    "A baseline makes a memory needless where its mean is at least that of the recommended design less one standard "
    "error.",
    f"Fewer than {ENOUGH_SEEDS} seeds are named as such.",
)


@dataclass(frozen=True)
class Statement:
    """One sentence.

    Args:
        topic: task and budget it speaks of; empty for the whole comparison.
        text: the sentence.
        rows: that support it.
    """

    topic: str
    text: str
    rows: tuple[Score, ...] = ()

    def __str__(self) -> str:
        evidence = "; ".join(row.named for row in self.rows)
        return f"{self.text} [{evidence}]" if evidence else self.text


def recommend(scores: Sequence[Score], settings: ComparisonSettings) -> list[Statement]:
    """All sentences, task by task and budget by budget."""
    statements = _on_seeds(scores)
    for task in task_names(scores):
        for budget in settings.budgets:
            statements += Advice(scores, settings, task, budget).statements()
    return statements


def _on_seeds(scores: Sequence[Score]) -> list[Statement]:
    fewest = min((score.seeds for score in scores if score.accuracy is not None), default=0)
    if fewest == 0:
        return [Statement("", "Nothing was run, so nothing is recommended.")]
    if fewest >= ENOUGH_SEEDS:
        return []
    text = f"Some rows rest on {fewest} seed{'s' * (fewest > 1)}: read what follows as hints, not as findings."
    return [Statement("", text, (next(score for score in scores if score.seeds == fewest),))]


class Advice:
    """What to say of one task under one budget.

    Args:
        scores: of the whole comparison.
        settings: of the comparison.
        task: name.
        budget: bytes.
    """

    def __init__(self, scores: Sequence[Score], settings: ComparisonSettings, task: str, budget: int) -> None:
        self.run = [score for score in scores if score.accuracy is not None]
        self.designs = {contender.name: contender for contender in settings.designs}
        self.threshold, self.task, self.budget = settings.testing.threshold, task, budget
        self.topic = f"{task}, {budget:,} bytes"

    def statements(self) -> list[Statement]:
        """All that can be said."""
        candidates = self.candidates(self.task)
        if not candidates:
            return [Statement(self.topic, f"No design was run on {self.task} within {self.budget:,} bytes.")]
        length = self.deciding_length(candidates)
        if length is None:
            best = max(candidates, key=_accuracy)
            text = f"No design of {self.budget:,} bytes does better than guessing on {self.task}; this is the best row."
            return [Statement(self.topic, text, (best,)), *self.solved_without()]
        chosen, first = self.recommended([score for score in candidates if score.segments == length])
        return [first, *self.against_baselines(chosen), *self.losses(chosen), *self.dead(candidates)]

    def candidates(self, task: str) -> list[Score]:
        """Rows of designs that fit the budget."""
        rows = [score for score in self.run if score.kind == "memory" and score.task == task]
        rows = [score for score in rows if score.budget in (None, self.budget)]
        too_large = {row.contender for row in rows if (row.costs.get("state_bytes") or 0) > self.budget}
        return [row for row in rows if row.contender not in too_large and self.designs[row.contender].bounded]

    def deciding_length(self, candidates: Sequence[Score]) -> int | None:
        """The longest length that anyone solves; else at which anyone is alive; None if nobody ever is."""
        living = [score for score in candidates if score.alive()]
        solved = [score.segments for score in living if _accuracy(score) >= self.threshold]
        alive = [score.segments for score in living]
        return max(solved or alive, default=None)

    def recommended(self, rows: Sequence[Score]) -> tuple[Score, Statement]:
        """Who is best at the deciding length, or the cheapest of those that cannot be told apart."""
        ranked = sorted((row for row in rows if row.alive()), key=_accuracy, reverse=True)
        line = _accuracy(ranked[0]) - ranked[0].error
        tied = [ranked[0], *(row for row in ranked[1:] if _accuracy(row) > line)]
        chosen = min(tied, key=_cost)
        level = "" if _accuracy(chosen) >= self.threshold else f", still below {self.threshold}"
        where = f"Under {self.budget:,} bytes take {chosen.contender} for {self.task}"
        if len(tied) > 1:
            others = ", ".join(row.contender for row in tied if row is not chosen)
            text = f"{where}{level}: at {chosen.segments} segments it is tied with {others}, and it is the cheapest."
            return chosen, Statement(self.topic, text, (chosen, *(row for row in tied if row is not chosen)))
        alone = "the only one that is alive" if len(rows) > 1 else "the only design that was run"
        found = "the best" if len(ranked) > 1 else alone
        text = f"{where}{level}: it is {found} at {chosen.segments} segments."
        others = sorted((row for row in rows if row is not chosen), key=_accuracy, reverse=True)
        return chosen, Statement(self.topic, text, (chosen, *others[:1]))

    def against_baselines(self, chosen: Score) -> list[Statement]:
        """Whether something simple does as well."""
        rows = [row for row in self.run if row.kind == "baseline" and _place(row) == _place(chosen)]
        if not rows:
            return []
        best = max(rows, key=_accuracy)
        if _accuracy(best) >= _accuracy(chosen) - chosen.error:
            text = (
                f"A memory is not needed for {self.task} at {chosen.segments} segments: {best.contender} does as well."
            )
        else:
            text = (
                f"No baseline does as well on {self.task} at {chosen.segments} segments; {best.contender} is the best."
            )
        return [Statement(self.topic, text, (best, chosen))]

    def solved_without(self) -> list[Statement]:
        """What does better than guessing where no memory does."""
        rows = [row for row in self.run if row.kind == "baseline" and row.task == self.task and row.alive()]
        if not rows:
            return []
        best = max(rows, key=lambda row: (row.segments, _accuracy(row)))
        text = f"{best.contender} does, without a memory, up to {best.segments} segments."
        return [Statement(self.topic, text, (best,))]

    def losses(self, chosen: Score) -> list[Statement]:
        """Where it falls below the threshold, here first, and what helps."""
        own = sorted((row for row in self.run if _who(row) == _who(chosen)), key=lambda row: row.segments)
        below = [row for row in own if _accuracy(row) < self.threshold]
        first = {row.task: row for row in reversed(below)}
        loss = first.pop(self.task, None)
        if loss is None:
            statements = self._holds(own)
        else:
            text = f"{chosen.contender} falls below {self.threshold} on {self.task} first at {loss.segments} segments."
            statements = [Statement(self.topic, text, (loss,)), *self.mitigation(loss)]
        if first:
            where = ", ".join(f"{row.task} ({row.segments})" for row in first.values())
            text = f"Other tasks on which it falls below {self.threshold}, first at so many segments: {where}."
            statements.append(Statement(self.topic, text, tuple(first.values())))
        return statements

    def _holds(self, own: Sequence[Score]) -> list[Statement]:
        last = [row for row in own if row.task == self.task][-1]
        text = f"{last.contender} stays at or above {self.threshold} on {self.task} at every length that was run."
        return [Statement(self.topic, text, (last,))]

    def mitigation(self, loss: Score) -> list[Statement]:
        """The row that is better than a loss, and in what it differs."""
        rows = [row for row in self.run if row.kind == "memory" and _place(row) == _place(loss)]
        # A state that is larger than its own budget is no equal, unless nobody says that it is bounded.
        rows = [row for row in rows if not self.designs[row.contender].bounded or _fits(row)]
        better = [row for row in rows if row.alive() and _accuracy(row) - row.error > _accuracy(loss) + loss.error]
        if not better:
            text = "No memory in this comparison is alive there and better by more than the errors."
            return [Statement(self.topic, text, (loss,))]
        best = max(better, key=lambda row: (_accuracy(row), -(_cost(row)[0])))
        how = self.change(self.designs[loss.contender], self.designs[best.contender], loss, best)
        return [Statement(self.topic, f"What helps there is {how}.", (best, loss))]

    def change(self, now: Contender, then: Contender, loss: Score, best: Score) -> str:
        """What is different, in words."""
        if now == then:
            return (
                f"a larger budget, {best.budget or 0:,} bytes"
                if (best.budget or 0) > (loss.budget or 0)
                else "less state"
            )
        if now.memory == then.memory and then.readout != now.readout:
            document = (
                "leaving the document memory out" if then.readout == "last" else "reading the document memory as well"
            )
            return f"{document} ({then.name})"
        if "+" in then.memory and now.memory in then.memory.split("+"):
            return f"the composition {then.name}"
        if not then.bounded:
            return f"a memory without a bound ({then.name})"
        return f"another design, {then.name}" + (
            f" with {best.budget:,} bytes" if best.budget != loss.budget and best.budget else ""
        )

    def dead(self, candidates: Sequence[Score]) -> list[Statement]:
        """Designs that are nowhere above guessing."""
        names = dict.fromkeys(row.contender for row in candidates if self.designs[row.contender].memory != "none")
        rows = [[row for row in candidates if row.contender == name] for name in names]
        best = [max(each, key=_accuracy) for each in rows if not any(row.alive() for row in each)]
        if not best:
            return []
        text = f"Not alive on {self.task}, whatever the length: {', '.join(row.contender for row in best)}."
        return [Statement(self.topic, text, tuple(best))]


def _accuracy(score: Score) -> float:
    assert score.accuracy is not None
    return score.accuracy


def _cost(score: Score) -> tuple[float, float]:
    flops, state = score.costs.get("flops_per_token"), score.costs.get("state_bytes")
    return (float("inf") if flops is None else flops), (state or 0.0)


def _fits(score: Score) -> bool:
    return score.budget is None or (score.costs.get("state_bytes") or 0) <= score.budget


def _place(score: Score) -> tuple[str, int]:
    return score.task, score.segments


def _who(score: Score) -> tuple[str, int | None]:
    return score.contender, score.budget
