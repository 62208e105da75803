"""Flags, options and words that make no sense, in every command."""

import random

from fuzz_case import DIGITS, Case, Place

_NUMBERS = ("nan", "inf", "-1", "abc", "1e999", "", "1e40", "0x1", "true", "99999999999999999999999999")
_NUMERIC = {
    "train": "steps batch-size accumulate learning-rate weight-decay clip-norm warmup checkpoint-seconds "
    "validate-every log-every seed epochs least-steps hidden train-size resolution devices",
    "run compare": "seeds tuning-trials tuning-budget reference-passes probes steps learning-rate",
    "run gradsplit": "layers warm-up every look-ahead seeds reference-passes",
    "run controllable": "tuning-budget divisions seeds strengths penalties budgets widths strength",
    "run multi_round": "feedback-uses feedback-error draws uses single-uses thresholds test-snr-db train-snr-db",
    "run multi_receiver": "sweep-uses sweep-weights unequal-snr-db digital-uses digital-pictures draws",
    "run multires_jscc": "picture-scale decoder-width decoder-blocks greedy-passes design-snr-db sscc-images uses",
    "run broadcast": "picture-scale spare draws uses test-snr-db",
}
"""Command -> its flags that take numbers: NaN, infinity, words and the like must be refused by all of them."""
_MAY_BE_EMPTY = ("strengths", "penalties", "single-uses", "sweep-weights", "unequal-snr-db", "widths")
_NEGATIVE = ("unequal-snr-db", "test-snr-db", "train-snr-db", "design-snr-db")

_DESCENTS = [
    ("cagrad", "c=nan c=-1 c=a c=1/2 d=1 c= =1 c c=1,c=2"),
    ("equal", "weights=1 weights=1/2/3 weights=0/0 weights=a weights=nan/1 weights=-1/1 weights=1/x"),
    ("random-weights", "seed=abc seed=1.5 seed=-1 seed=99999999999999999999999"),
    ("upgrad", "directions=1.5 directions=0 engine=x engine=rows,directions=3 seed=abc directions=99999999999"),
    ("config", "pref_vector=0/0 pref_vector=-1/-1 pref_vector=1 pref_vector=1/2/3 pref_vector=a/b"),
    ("aligned-mtl", "pref_vector=0/0 scale_mode=x scale_mode=1 pref_vector=nan/1"),
    ("dwa", "temperature=nan temperature=0 temperature=true temperature=a/b"),
    ("famo", "learning_rate=inf learning_rate=-1 weight_decay=nan"),
    ("graddrop", "f=1 leak=1 leak=a leak=1/2/3"),
    ("gradsplit", "accept=x accept=1 layers=0 layers=2 engine=x"),
    ("fairgrad", "alpha=nan max_iters=0 max_iters=1.5"),
    ("nothing", "c=1 x"),
]
_ENCODERS = [
    ("conv", "widths=8/0 widths=8 widths=a/b widths=8/1.5 widths=8/-1 widths=8/1000000000 norm=x norm=1 std=0 std=nan"),
    ("conv", "mean=1/2/3 downsample=3 downsample=-1 depth=3 seed=1 hidden=3 tasks=3 widths=/ widths=4/8,widths=4"),
    ("resnet", "width=0 width=1000000000 blocks=1/0 blocks=3 width=1.5"),
    ("mlp", "width=0 width=nan depth=0 width=1000000000 width=8/8 depth=true"),
    ("pixel", "downsample=1000 blocks=-1 width=0"),
    ("gru", "width=8"),
    ("torchvision-resnet18", "weights=1 weights=x downsample=a"),
    ("nothing", "a=1"),
]
_WRONG = [
    "--strength 0.5",
    "--distillation none",
    "--widths 0.5",
    "--widths nan/1",
    "--widths 1/0.5",
    "--targets digit",
    "--kinds digit=number",
    "--pictures-anywhere",
    "--ignore a",
    "--tasks digit,digit",
    "--tasks nothing",
    "--tasks ,",
    "--options nothing=1",
    "--options size=10",
    "--options reconstruction=3",
    "--monitor nothing",
    "--monitor digit/nothing",
    "--optimizer adam",
    "--vector-head x",
    "--data nothing",
    "--data .",
    "--data /dev/null",
    "--data nothing.csv",
    "--accumulate 17",
    "--resume --devices 0",
]


def option_case(place: Place, draw: random.Random) -> Case:
    """One flag or option that cannot be meant."""
    kind = draw.randrange(4)
    if kind == 0:
        command = draw.choice(list(_NUMERIC))
        flag = draw.choice(_NUMERIC[command].split())
        allowed = ("1e40", "0x1", "true", "abc") if flag == "widths" else ()
        values = [
            v for v in _NUMBERS if not (v == "" and flag in _MAY_BE_EMPTY) and not (v == "-1" and flag in _NEGATIVE)
        ]
        value = draw.choice([v for v in values if v not in allowed])
        data = DIGITS if command == "train" else [] if "multi" in command or "broad" in command else DIGITS[:4]
        return Case(
            [*command.split(), *data, f"--{flag}={value}", "--out", "run"], f"{command} --{flag}={value}", "wrong"
        )
    if kind == 1:
        name, texts = draw.choice(_DESCENTS)
        flags = ["--descent", name, "--descent-options", draw.choice(texts.split())]
    elif kind == 2:
        name, texts = draw.choice(_ENCODERS)
        flags = ["--encoder", name, "--encoder-options", draw.choice(texts.split())]
    else:
        flags = draw.choice(_WRONG).split()
    return Case(["train", *DIGITS, *flags, "--out", "run"], f"train {' '.join(flags)}", "wrong")


_WORDS = (
    "",
    "run",
    "train",
    "x",
    "--",
    "-",
    "--x",
    "-h=",
    "--json",
    "../..",
    "0",
    "\x1b[1m",
    "é😀",
    "a" * 3000,
    ".",
    "/",
)
_STARTS: list[tuple[list[str], bool]] = [
    (["list"], True),
    (["list", "--json"], True),
    (["--version"], True),
    ([], True),
    (["evaluate"], False),
    (["search"], False),
    (["export"], False),
    (["report"], False),
    (["verify", "compare", "--from"], False),
    (["verify", "nothing"], False),
    (["run", "nothing"], False),
    (["run", "nothing.py:recipe"], False),
    (["run", "compare", "--quick", "--seeds"], False),
    (["train", "--devices"], False),
]


def word_case(place: Place, draw: random.Random) -> Case:
    """A command with words that it does not know."""
    start, alone = draw.choice(_STARTS)
    words = [draw.choice(_WORDS) for _ in range(draw.randrange(0 if alone else 1, 3))]
    return Case(
        [*start, *words], f"umbel {' '.join([*start, *map(ascii, words)])[:80]}", "right" if not words else "either"
    )
