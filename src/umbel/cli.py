"""The command `umbel`. Torch and everything that needs it is imported after the arguments are understood."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from umbel.errors import UmbelError, unknown

USAGE = """usage: umbel COMMAND ...

One shared encoder, many task heads: train several tasks together and see whether they help or hurt each other.

  umbel run NAME          run a study, as `umbel run compare`; `umbel run` alone lists them
  umbel train             train one network for all tasks of a set
  umbel evaluate PATH     metrics of a checkpoint
  umbel predict PATH      predictions of a checkpoint for new rows or pictures
  umbel adapt RUN         a detector for pictures of another place, without labels
  umbel prepare SET DIR   frames of faces from the videos of a set of presentation attacks
  umbel search PATH       the widths of a controllable network that serve preferences best within a budget
  umbel export PATH       a trained network as files that stand alone: ONNX, torch.export, safetensors
  umbel serve RUN         answer HTTP requests with predictions of a training, with a page to try it
  umbel audit RUN         what others could learn from the features that a network releases
  umbel verify NAME       check a study's claims; exit status 1 when one falls short
  umbel report DIR ...    write the page of one or several studies again
  umbel list              methods, recipes, descents, data sets (found or missing) and extras

Every command explains itself with --help. --debug shows the traceback of an error, --version the version.
"""

_LONGEST_LINE = 1200
_COMMANDS = {
    "run": "umbel.command.run:run",
    "train": "umbel.command.single:train",
    "evaluate": "umbel.command.single:evaluate",
    "predict": "umbel.command.predict:predict",
    "search": "umbel.command.search:search",
    "export": "umbel.command.export:export",
    "adapt": "umbel.command.adapt:adapt",
    "prepare": "umbel.command.prepare:prepare",
    "serve": "umbel.command.serve:serve",
    "audit": "umbel.command.audit:audit",
    "verify": "umbel.command.run:verify",
    "report": "umbel.command.report:report",
    "list": "umbel.command.listing:listing",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status.

    0: done. 1: a claim fell short (`verify`). 2: an error that the user can mend. 130: stopped by the user.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()  # here, where a full disk or a closed pipe can still be told
        return status
    except UmbelError as error:
        if debug:
            raise
        _complain(str(error))
        return 130 if type(error).__name__ == "Interrupted" else 2
    except KeyboardInterrupt:
        _complain("stopped")
        return 130
    except (MemoryError, RuntimeError) as error:
        if debug or (not isinstance(error, MemoryError) and "can't allocate memory" not in str(error)):
            raise
        _complain("there is not enough memory for this; ask for smaller pictures, batches, networks or fewer samples")
        return 2
    except BrokenPipeError:  # `umbel list | head`
        _drop_output()
        return 0
    except OSError as error:  # what no part of ours told better
        if debug:
            raise
        _complain(_told(error))
        _drop_output()
        return 2


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")
        return 0
    if arguments[0] == "--version":
        print(f"umbel {import_module('umbel').__version__}")
        return 0
    if arguments[0] not in _COMMANDS:
        raise unknown("command", arguments[0], _COMMANDS)
    module, function = _COMMANDS[arguments[0]].split(":")
    command: Callable[[list[str]], int] = getattr(import_module(module), function)
    return command(arguments[1:])


def _told(error: OSError) -> str:
    """The system's words on a file that cannot be read or written, as one line."""
    names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
    reason = " ".join((error.strerror or str(error) or type(error).__name__).split())
    return f"{names or 'the output'}: {reason}; --debug shows where this came up"


def _drop_output() -> None:
    """Nothing more is printed: what is left in the buffer cannot be written, and Python would complain at its end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    if os.environ.get("LOCAL_RANK", "0") == "0":
        # One line whatever it quotes: the name of a file may hold line breaks and codes that steer the terminal.
        line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        if len(line) > _LONGEST_LINE:  # it quotes a path of thousands of characters, say
            line = f"{line[: _LONGEST_LINE // 2]} ... {line[-_LONGEST_LINE // 2 :]}"
        print(f"umbel: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
