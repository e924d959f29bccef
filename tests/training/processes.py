"""Two processes that talk over gloo, and what they do: each job leaves what it found in a file per process."""

import multiprocessing
import os
import socket
import traceback
import warnings
from contextlib import suppress

import torch
from torch import distributed
from transformers import set_seed

from memenc import MemencForSequenceClassification
from memenc.training.documents import TokenizedDocuments
from memenc.training.run import train_classifier
from memenc.training.settings import TrainingSettings
from tests.backbones import SEGMENT, tiny_backbone
from tests.memory.checks import CAPACITY, SPECIAL, ragged

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.training.processes"])
# A hang lasts for ever; anything else may take long on a busy machine.
SECONDS = 300
PORTS = iter(range(1_000))


def run(job, folder, *arguments, processes=2, **more):
    """What every process found; a hang is an error."""
    port = free_port()
    made = [
        CONTEXT.Process(target=_child, args=(job, rank, processes, port, folder, arguments, more))
        for rank in range(processes)
    ]
    for process in made:
        process.start()
    for process in made:
        process.join(SECONDS)
    hung = [process for process in made if process.is_alive()]
    for process in hung:
        process.kill()
    errors = [path.read_text() for path in sorted(folder.glob("error-*"))]
    assert not errors, errors[0]
    assert not hung, f"{len(hung)} processes hang"
    return [torch.load(folder / f"found-{rank}.pt") for rank in range(processes)]


def free_port():
    """A port of this worker's own, below those that systems give to whoever asks for any."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    for port in PORTS:
        with socket.socket() as free, suppress(OSError):
            free.bind(("localhost", 20_000 + 1_000 * (worker % 12) + port))
            return free.getsockname()[1]
    raise OSError("no free port")


def _child(job, rank, processes, port, folder, arguments, more):
    environment = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in environment.items()} | {"MASTER_ADDR": "localhost"}
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        torch.save(job(rank, processes, folder, *arguments, **more), folder / f"found-{rank}.pt")
    except BaseException:
        (folder / f"error-{rank}").write_text(traceback.format_exc())
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def classifier(design="compressive", **options):
    """The same in every process, in double precision and without dropout."""
    set_seed(7)
    memory_options = {"compressive": {"window": 16, "slots": 4, "rate": 4}, "tokens": {"tokens": 2}}.get(design)
    model = MemencForSequenceClassification.from_backbone(
        tiny_backbone(),
        memory=design,
        memory_options=memory_options,
        memory_layers="all",
        segment_length=SEGMENT,
        special_tokens=SPECIAL,
        num_labels=2,
        classifier_dropout=0.0,
        **options,
    )
    model.config.problem_type = "single_label_classification"
    return model.double().train()


def documents(*lengths):
    """Token ids and labels that follow from the lengths."""
    generator = torch.Generator().manual_seed(11)
    ids = [torch.randint(5, 58, (length,), generator=generator) for length in lengths]
    return ids, torch.arange(len(ids)) % 2


# A rank reads every second one: one of them has many more segments.
LENGTHS = (5 * CAPACITY + 3, 4, CAPACITY, 2)


def gradients_of(model, rank, processes):
    """Gradient of the mean loss over this process's documents."""
    ids, labels = documents(*LENGTHS)
    padded, mask = ragged(ids[rank::processes])
    loss = model(padded, mask, labels=labels[rank::processes]).loss
    loss.backward()
    found = {}
    for name, parameter in model.named_parameters():
        gradient = parameter.grad
        if gradient is not None:
            found[name] = gradient.full_tensor() if hasattr(gradient, "full_tensor") else gradient
    return found


def sharded_gradients(rank, processes, folder, design, options, in_step=True):
    """FSDP2, weights gathered layer by layer."""
    from torch.distributed.fsdp import fully_shard

    import memenc.encoder.segment_encoder

    model = classifier(design, **options)
    if processes == 1:
        return gradients_of(model, rank, processes)
    distributed.init_process_group("gloo", rank=rank, world_size=processes)
    mesh = distributed.init_device_mesh("cpu", (processes,))
    for layer in model.memenc.backbone.encoder.layer:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    if not in_step:
        memenc.encoder.segment_encoder.gathers_weights = lambda module: False
    return gradients_of(model, rank, processes)


def trained(rank, processes, folder, tokens_per_batch, resume=False, design="compressive", **more):
    """Weights and validation accuracy that train_classifier ends with: DDP where there are several processes."""
    # One more than the steps have room for: the last step is filled with documents from the beginning.
    lengths = (90, 3, 40, 7, 5, 5, 60, 1, 14, 2, 30, 4, 21)
    ids, labels = documents(*lengths)
    data = TokenizedDocuments([row.numpy() for row in ids], labels.tolist())
    settings = TrainingSettings(
        epochs=2, documents_per_step=4, tokens_per_batch=tokens_per_batch, patience=0, save_steps=2, **more
    )
    model = classifier(design)
    output = folder / f"of-{processes}"
    log = train_classifier(model, data, data, settings, output, resume, quiet=True, device="cpu")
    weights = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    return weights, [entry["eval_accuracy"] for entry in log if "eval_accuracy" in entry]
