"""The benchmark of schedules: what it reads by default reaches the schedule that is the default."""

from argparse import Namespace

from memenc.encoder.schedule import TOKENS_PER_CALL


def test_the_default_schedule_of_every_device_is_within_what_is_measured():
    from schedules import DEFAULTS

    for device, chosen in DEFAULTS.items():
        default = TOKENS_PER_CALL[device] // 512
        assert default in chosen["segments_per_call"] and chosen["tokens"] >= 2 * 512 * default
    assert DEFAULTS["cuda"]["rounds"] > DEFAULTS["cpu"]["rounds"]


def test_what_is_given_counts():
    from schedules import with_defaults

    left_out = dict.fromkeys(("backbone", "tokens", "segments_per_call"))
    arguments = with_defaults(Namespace(device="cuda", rounds=0, **left_out))
    assert (arguments.backbone, arguments.rounds, arguments.tokens) == (None, 0, 131_072)


def test_rows_are_made_for_every_schedule(monkeypatch):
    import schedules

    monkeypatch.setattr(schedules, "DESIGNS", {"none": {}, "windowed": {"window": 16}})
    given = {"backbone": None, "device": "cpu", "tokens": 1_024, "rounds": 1, "segments_per_call": [1, 2]}
    rows = schedules.schedules(Namespace(**given))
    assert [(row["design"], row["segments_per_call"]) for row in rows] == [
        (design, per_call) for per_call in (1, 2) for design in ("none", "windowed")
    ]
    assert all(row["same_schedule_ratio"] == 1 for row in rows if row["design"] == "none")
