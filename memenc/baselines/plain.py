"""What the neural baselines share: the same estimator without memory."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone


def without_memory(classifier: Any, **model_options: Any) -> Any:
    """An unfitted copy without a memory in any layer, with these fields of `MemencConfig` changed."""
    training = dict(classifier.training or {})
    if training.get("adapt") == "prefix":
        # Without a memory there is nothing to start: what remains of it is training what stands on a frozen backbone.
        training["adapt"] = "frozen"
    options = dict(classifier.model_options or {}) | model_options
    plain: Any = clone(classifier)
    # A generator of seeds has gone on since; all are trained with the seed that it gave.
    seed = getattr(classifier, "seed_", classifier.random_state)
    plain.set_params(memory="none", memory_options=None, model_options=options, training=training or None)
    return plain.set_params(random_state=seed)
