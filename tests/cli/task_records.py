"""Generated records of every task."""

import random

from tests.tiny import WORDS


def asked(count, seed=0, last=False):
    """Documents of 20 to 60 words with two questions: for a word's place, or whether the document begins well."""
    generator, rows = random.Random(seed), []
    for number in range(count):
        words = generator.choices(WORDS, k=generator.randint(20, 60))
        text, questions = " ".join(words), []
        for place in range(2):
            word = generator.choice(words)
            answers = [{"text": word, "start": text.index(word)}]
            if last:
                answers = [{"text": "low" if words[0] < "word2" else "high"}]
            questions.append({"id": f"{seed}-{number}-{place}", "question": f"report {word}", "answers": answers})
        rows.append({"id": f"{seed}-{number}", "document": text, "questions": questions})
    return rows


def chosen(count, seed=0):
    rows = asked(count, seed)
    for row in rows:
        for place, question in enumerate(row["questions"]):
            del question["answers"]
            question |= {"options": ["word1", "word2 word3", "word4"][: 2 + place], "answer": place}
    return rows


def tagged(count, seed=0):
    generator, rows = random.Random(seed), []
    for number in range(count):
        words = generator.choices(WORDS, k=generator.randint(0 if number else 5, 50))
        labels = ["B-X" if word < "word2" else "O" for word in words]
        rows.append({"id": f"{seed}-{number}", "words": words, "labels": labels})
    return rows


def paired(count, seed=0, similar=False):
    """Documents with a stretch of themselves, or with another and the share of words that both have."""
    rows = [{"id": row["id"], "text": row["document"]} for row in asked(count, seed)]
    for place, row in enumerate(rows):
        words, following = row["text"].split(), rows[(place + 1) % count]["text"].split()
        row["other"] = " ".join(words[place % 5 :][:12])
        if similar:
            row["other"] = " ".join(words[: 3 * place] + following[:20])
            row["label"] = len(set(words) & set(row["other"].split())) / len(set(words))
    return rows


def classified(count, seed=0):
    """Documents with a stretch of themselves, or of the next one, and which of the two it is."""
    rows = paired(count, seed)
    others = [row["other"] for row in rows]
    for place, row in enumerate(rows):
        row["label"] = "apart" if place % 2 else "part"
        row["other"] = others[(place + place % 2) % count]
    return rows


# The kinds of models that are trained once: their records, and options of `memenc train`.
KINDS = {
    "question-answering": (asked, []),
    "question-answering, last": (lambda count, seed=0: asked(count, seed, True), ["--question-position", "last"]),
    "multiple-choice": (chosen, []),
    "token-classification": (tagged, []),
    "embedding": (paired, ["--temperature", "0.1"]),
    "embedding, similar": (lambda count, seed=0: paired(count, seed, True), []),
    "pair-classification": (classified, []),
}
