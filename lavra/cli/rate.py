"""`lavra rate`: people judge texts that models wrote."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from lavra.base.convert import default_of, setting_fields
from lavra.base.errors import ConfigError, InputError, MissingDependencyError, nearest
from lavra.cli.arguments.rate import Exported, RateSettings
from lavra.cli.console import print_json, print_json_line
from lavra.cli.flags import read_settings
from lavra.cli.rate_results import show_results
from lavra.evaluation.human.answers import ModelAnswer, merged_answers, read_answers
from lavra.evaluation.human.exchange import read_given, write_ratings
from lavra.evaluation.human.items import ItemKind
from lavra.evaluation.human.links import links_path, read_links, write_links
from lavra.evaluation.human.preferences import PAIR_COLUMNS, preference_pairs
from lavra.evaluation.human.results import counted, failed_annotators, study_results, votes_of
from lavra.evaluation.human.rows import write_rows
from lavra.evaluation.human.store import GivenJudgement, StudyStore, create_study
from lavra.evaluation.human.study import StudyConfig, plan_study
from lavra.evaluation.human.tokens import new_token, token_hash
from lavra.evaluation.human.votes import write_votes
from lavra.verbs.activity import activity

_STUDY = frozenset(field.name for field in fields(StudyConfig))


class RateAction(NamedTuple):
    """An action of `lavra rate`, and the settings that it uses."""

    run: Callable[[argparse.Namespace, RateSettings], int]
    looks_at: frozenset[str] = frozenset()


def run(args: argparse.Namespace) -> int:
    """Run the action."""
    settings = read_settings(RateSettings, args)
    if args.action not in ACTIONS:
        raise ConfigError(f"unknown action {args.action!r}{nearest(args.action, ACTIONS)}")
    action = ACTIONS[args.action]
    for name, setting in setting_fields(RateSettings).items():
        if name not in action.looks_at and getattr(settings, name) != default_of(setting):
            raise ConfigError(f"`lavra rate {args.action}` does not use `{name}`; leave it out")
    if args.files and args.action != "import":
        raise ConfigError(f"`lavra rate {args.action}` takes the study alone, not {args.files[0]!r} too")
    return action.run(args, settings)


def _new(args: argparse.Namespace, settings: RateSettings) -> int:
    if not settings.answers and not settings.models:
        raise ConfigError("no answers are named; say --answers FILE, or --models MODEL and --prompts FILE")
    if args.study.exists():
        raise InputError(f"{args.study} exists; name another file, or remove it with all its judgements")
    config = StudyConfig(**{name: getattr(settings, name) for name in _STUDY})
    answers, notes = _answers(settings)
    study = plan_study(answers, config)
    notes += study.notes
    tokens = {number: new_token() for number in range(1, config.annotators + 1)}
    create_study(args.study, study, {number: token_hash(token) for number, token in tokens.items()})
    write_links(args.study, {f"annotator-{number}": token for number, token in tokens.items()})
    kinds = [item.kind for item in study.items if not item.is_check]
    found = {"ratings": kinds.count(ItemKind.RATING), "comparisons": kinds.count(ItemKind.PAIR)}
    each = [one.annotator for one in study.assignments].count(1)
    if args.json:
        print_json({"study": str(args.study), **found, "annotators": config.annotators, "notes": notes})
        return 0
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(
        f"{args.study}: {found['ratings']} answers to rate, {found['comparisons']} comparisons; annotators: "
        f"{config.annotators}, about {each} items each, attention checks included"
    )
    print(f"next: lavra rate serve {args.study}")
    return 0


def _answers(settings: RateSettings) -> tuple[list[ModelAnswer], list[str]]:
    """The answers of files, and of models that write them now; and notes on the latter.

    Raises:
        InputError: two models have the same name.
    """
    answers = read_answers(settings.answers)
    if settings.prompts is None:
        return answers, []
    models = importlib.import_module("lavra.cli.rate_models")  # reaches torch
    written, notes = models.answers_of_models(settings.models, settings.prompts, settings.max_tokens)
    return merged_answers([*answers, *written]), notes


def _serve(args: argparse.Namespace, settings: RateSettings) -> int:
    try:
        page = importlib.import_module("lavra.server.rating.run")
    except ImportError as missing:  # results, export and import do without
        raise MissingDependencyError(missing.name or "fastapi", "lavra rate serve", "serve") from missing
    store = StudyStore(args.study)

    def on_ready(url: str) -> None:
        _announce(args, store, settings.address or url)

    page.serve_study(store, host=settings.host, port=settings.port, on_ready=on_ready)
    return 0


def _announce(args: argparse.Namespace, store: StudyStore, url: str) -> None:
    """Print each annotator's link; after that only errors are printed."""
    activity.begin("")
    links = {name: f"{url.rstrip('/')}/#{token}" for name, token in read_links(args.study).items()}
    if args.json:
        print_json_line({"url": url, "links": links})
        return
    if not links:
        print(
            f"note: {links_path(args.study)} is gone, so the links cannot be shown; they still work, and "
            f"`lavra rate links {args.study}` makes new ones",
            file=sys.stderr,
        )
    if not _is_private(url):
        print(
            "note: the page speaks plain HTTP; on a network you do not trust, put a proxy with TLS in front",
            file=sys.stderr,
        )
    if store.is_closed:
        print(f"note: the study is closed; `lavra rate reopen {args.study}` takes judgements again", file=sys.stderr)
    for name, link in links.items():
        print(f"{name}  {link}")
    print(f"serving  {url}; Ctrl-C stops it, and the links work again the next time", flush=True)


def _is_private(url: str) -> bool:
    """Whether links of a URL stay on this machine, or are encrypted."""
    parts = urlsplit(url)
    return parts.scheme == "https" or parts.hostname in ("127.0.0.1", "::1", "localhost")


def _links(args: argparse.Namespace, settings: RateSettings) -> int:
    with closing(StudyStore(args.study)) as store:
        people = {number: name for number, name in store.annotators().items() if store.num_assigned(number)}
        tokens = {number: new_token() for number in people}
        store.set_token_hashes({number: token_hash(token) for number, token in tokens.items()})
    write_links(args.study, {people[number]: token for number, token in tokens.items()})
    print(f"{len(tokens)} new links; the old links no longer work. `lavra rate serve {args.study}` prints them")
    return 0


def _close(args: argparse.Namespace, settings: RateSettings) -> int:
    with closing(StudyStore(args.study)) as store:
        store.set_closed(True)
    print(f"{args.study} takes no more judgements; `lavra rate reopen {args.study}` takes them again")
    return 0


def _reopen(args: argparse.Namespace, settings: RateSettings) -> int:
    with closing(StudyStore(args.study)) as store:
        store.set_closed(False)
    print(f"{args.study} takes judgements again")
    return 0


def _results(args: argparse.Namespace, settings: RateSettings) -> int:
    with closing(StudyStore(args.study)) as store:
        results = study_results(store, exclude_failed=settings.exclude_failed)
    if args.json:
        print_json(asdict(results))
    else:
        show_results(results)
    return 0


def _export(args: argparse.Namespace, settings: RateSettings) -> int:
    if settings.out is None:
        raise ConfigError("no file is named to export to; say --out FILE, ending in .jsonl or .csv")
    with closing(StudyStore(args.study)) as store:
        everything = store.given()
        failed = failed_annotators(everything)
        given = counted(everything, failed if settings.exclude_failed else ())
        if failed:
            what = "are left out" if settings.exclude_failed else "are included; --exclude-failed leaves them out"
            print(f"note: {', '.join(sorted(failed))} failed an attention check and {what}", file=sys.stderr)
        written = _write(settings, given, store.config.scales)
    print(f"{settings.out}: {written} {settings.what.value}")
    return 0


def _write(settings: RateSettings, given: Sequence[GivenJudgement], scales: Sequence[str]) -> int:
    assert settings.out is not None
    if settings.what is Exported.RATINGS:
        return write_ratings(settings.out, given, scales)
    votes = votes_of(given)
    if settings.what is Exported.VOTES:
        write_votes(settings.out, votes)
        return len(votes)
    pairs, undecided = preference_pairs(votes)
    if undecided:
        print(f"note: {undecided} comparisons have no majority and give no pair", file=sys.stderr)
    write_rows(settings.out, PAIR_COLUMNS, [pair.record() for pair in pairs])
    return len(pairs)


def _import(args: argparse.Namespace, settings: RateSettings) -> int:
    if not args.files:
        raise ConfigError("no file is named to import; give one or more, .csv or .jsonl")
    with closing(StudyStore(args.study)) as store:
        given = [one for file in args.files for one in read_given(Path(file), store)]
        store.bring_in(given)
    people = sorted({one.annotator for one in given})
    print(f"{args.study}: {len(given)} judgements of {', '.join(people)} were added")
    return 0


ACTIONS: Mapping[str, RateAction] = {
    "new": RateAction(_new, _STUDY | {"answers", "models", "prompts", "max_tokens"}),
    "serve": RateAction(_serve, frozenset({"host", "port", "address"})),
    "links": RateAction(_links),
    "results": RateAction(_results, frozenset({"exclude_failed"})),
    "export": RateAction(_export, frozenset({"what", "out", "exclude_failed"})),
    "import": RateAction(_import),
    "close": RateAction(_close),
    "reopen": RateAction(_reopen),
}
