"""`umbel run` and `umbel verify`: studies."""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from umbel.command.arguments import RunOptions, command_line, console, new_folder, parse, stdout_is_quiet, take_flag
from umbel.command.report import write_report
from umbel.command.users_recipe import users_recipe
from umbel.errors import UmbelError, unknown
from umbel.recipes import RECIPES, Recipe

if TYPE_CHECKING:
    from umbel.report import Results


def run(arguments: list[str]) -> int:
    """Run a study and print its table, its verdict and where its page is."""
    given = list(arguments)
    recipe = _recipe(arguments, "run")
    if recipe is None:
        return 0
    options, settings = _settings(recipe, arguments, "run")
    results, out = execute(recipe, settings, options, command_line(["run", *given]))
    _show(results, out, options.json)
    return 0


def verify(arguments: list[str]) -> int:
    """Check the claims of a study: of a kept one (--from), or of one run now.

    Returns:
        1 when a claim is refuted; with --strict also when one is not shown.
    """
    given = list(arguments)
    kept, strict = _value_of(arguments, "--from"), take_flag(arguments, "--strict")
    recipe = _recipe(arguments, "verify")
    if recipe is None:
        return 0
    if kept is not None:
        from umbel.report import Results  # noqa: PLC0415 - imports torch

        results = Results.read(Path(kept))
        if results.study != recipe.name:
            raise UmbelError(f"{kept} holds results of {results.study!r}, not of {recipe.name!r}")
        results = recipe.concluded(results)
        as_json = take_flag(arguments, "--json")
        take_flag(arguments, "--quick")
        if arguments:
            raise UmbelError(f"verify --from reads what was measured; {arguments[0]} changes nothing, leave it out")
    else:
        options, settings = _settings(recipe, arguments, "verify")
        results, out = execute(recipe, settings, options, command_line(["verify", *given]))
        as_json = options.json
        if not as_json and not stdout_is_quiet():
            print(f"page: {out / 'report.html'}")
    return _judge(results, as_json, strict)


def execute(recipe: Recipe, settings: Any, options: RunOptions, command: str) -> "tuple[Results, Path]":
    """Run a recipe's study in its folder and write results.json, tables and the page."""
    from umbel.engine import Interrupted, TerminalReporter, open_runtime  # noqa: PLC0415 - imports torch
    from umbel.engine.folder import check_folder  # noqa: PLC0415
    from umbel.study import Study  # noqa: PLC0415

    runtime = open_runtime(options.devices)
    out = Path(runtime.broadcast(str(options.out or new_folder(_folder_name(recipe, settings), options.resume))))
    check_folder(out, "study", runtime, options.resume)
    quiet = not runtime.is_main
    with TerminalReporter(quiet=quiet) as reporter, Study(out, runtime, command, options.resume, reporter) as study:
        try:
            results = recipe.run(settings, study)
        except (Interrupted, KeyboardInterrupt):
            again = f"go on with the same command and --resume --out {out}"
            raise Interrupted(f"stopped; what was done is kept in {out}, {again}") from None
        study.claim()  # where a recipe of the user's own did not
        if runtime.is_main:
            results.write(out)
            write_report(results, out)
        runtime.barrier()
    return results, out


def _folder_name(recipe: Recipe, settings: Any) -> str:
    data = getattr(settings, "data", None)
    name = getattr(data, "data", data)
    return f"{recipe.name}-{Path(name).stem}" if isinstance(name, str) else recipe.name


def _show(results: "Results", out: Path, as_json: bool) -> None:
    if stdout_is_quiet():
        return
    if as_json:
        print(results.to_json(), end="")
        return
    from umbel.report import print_report  # noqa: PLC0415

    print_report(results)
    print(f"results: {out / 'results.json'}\npage:    {out / 'report.html'}")


def _judge(results: "Results", as_json: bool, strict: bool) -> int:
    from umbel.report import REFUTED, SHOWN, claims_list  # noqa: PLC0415 - imports torch

    states = {claim.state for claim in results.claims}
    failed = states - {SHOWN} if strict else states & {REFUTED}
    if stdout_is_quiet():
        return 1 if failed else 0
    if as_json:
        print(json.dumps([dataclasses.asdict(claim) for claim in results.claims], indent=1))
        return 1 if failed else 0
    console().print(claims_list(results) if results.claims else "this study makes no claims")
    if len(results.repeat_numbers) < 2:
        print("one repeat has no interval, so nothing can be shown or refuted; use --seeds 3 or more")
    return 1 if failed else 0


def _recipe(arguments: list[str], verb: str) -> Recipe | None:
    """The recipe that the first argument names, taken off the arguments; without one, prints what there is."""
    if not arguments or arguments[0] in ("-h", "--help"):
        options = "[--from DIR] [--strict] " if verb == "verify" else ""
        print(f"usage: umbel {verb} NAME {options}[--quick] [--out DIR] [--resume] [--devices N] ...\n")
        for recipe in RECIPES.values():
            print(f"  {recipe.name:<12} {recipe.title}")
        print("\nNAME may also be file.py:attribute, a Recipe of your own.")
        if verb == "verify":
            print("--from DIR: check kept results, whose claims are computed afresh from their runs.")
            print("Exit status: 1 when a claim is refuted; with --strict, unless all are shown.")
        print(f"Settings of a study: umbel {verb} NAME --help")
        return None
    name = arguments.pop(0)
    if ".py:" in name:
        return users_recipe(name)
    if name.endswith(".py"):
        raise UmbelError(f"recipe {name}: say which one of the file, as {name}:attribute")
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]


def _settings(recipe: Recipe, arguments: list[str], verb: str) -> tuple[RunOptions, Any]:
    """Options and settings from the flags; --quick starts from the quick settings instead of the full ones."""
    quick = take_flag(arguments, "--quick")
    start = recipe.quick if quick else recipe.settings()
    options = ("run_options", RunOptions, dataclasses.field(default_factory=RunOptions))
    fields: list[Any] = [options, ("settings", recipe.settings, dataclasses.field(default_factory=lambda: start))]
    both = dataclasses.make_dataclass("Arguments", fields, frozen=True)
    about = f"{recipe.title}. {recipe.about}\n\n--quick: settings for about three minutes on two cores."
    parsed: Any = parse(both, None, arguments, f"umbel {verb} {recipe.name}", about)
    return parsed.run_options, parsed.settings


def _value_of(arguments: list[str], flag: str) -> str | None:
    """The value after a flag, both taken off the arguments."""
    for i, argument in enumerate(arguments):
        if argument == flag:
            if i + 1 == len(arguments):
                raise UmbelError(f"{flag} needs a folder")
            value = arguments[i + 1]
            del arguments[i : i + 2]
            return value
        if argument.startswith(f"{flag}="):
            del arguments[i]
            return argument.split("=", 1)[1]
    return None
