"""`lavra rate`: people judge what models wrote."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

from lavra.base.convert import default_of, setting_fields
from lavra.base.errors import ConfigError, MissingDependencyError, nearest
from lavra.cli.activity import activity
from lavra.cli.arguments.rate import RateSettings
from lavra.cli.console import print_json, print_json_line
from lavra.cli.flags import read_settings
from lavra.evaluation.human.answers import read_answers
from lavra.evaluation.human.items import ItemKind
from lavra.evaluation.human.links import links_path, read_links, write_links
from lavra.evaluation.human.store import StudyStore, create_study
from lavra.evaluation.human.study import StudyConfig, plan_study
from lavra.evaluation.human.tokens import new_token, token_hash

try:
    from lavra.server.config import ServeConfig
    from lavra.server.rating.app import build_rating_app
    from lavra.server.run import serve
except ImportError as missing:  # only the page needs them, but half a verb would be a riddle
    raise MissingDependencyError(missing.name or "fastapi", "lavra rate", "serve") from missing

_STUDY = frozenset(field.name for field in fields(StudyConfig))


class RateAction(NamedTuple):
    """One thing to do with a study, and the settings it looks at."""

    run: Callable[[argparse.Namespace, RateSettings], int]
    looks_at: frozenset[str] = frozenset()


def run(args: argparse.Namespace) -> int:
    """Do it."""
    settings = read_settings(RateSettings, args)
    if args.action not in ACTIONS:
        raise ConfigError(f"unknown action {args.action!r}{nearest(args.action, ACTIONS)}")
    action = ACTIONS[args.action]
    for name, setting in setting_fields(RateSettings).items():
        if name not in action.looks_at and getattr(settings, name) != default_of(setting):
            raise ConfigError(f"`lavra rate {args.action}` does not look at {name}; leave it out")
    if args.files and args.action != "import":
        raise ConfigError(f"`lavra rate {args.action}` takes the study alone, not {args.files[0]!r} too")
    return action.run(args, settings)


def _new(args: argparse.Namespace, settings: RateSettings) -> int:
    if not settings.answers:
        raise ConfigError("no answers are named; say --answers FILE, JSON lines with prompt and completion")
    config = StudyConfig(**{name: getattr(settings, name) for name in _STUDY})
    study = plan_study(read_answers(settings.answers), config)
    tokens = {number: new_token() for number in range(1, config.annotators + 1)}
    create_study(args.study, study, {number: token_hash(token) for number, token in tokens.items()})
    write_links(args.study, {f"annotator-{number}": token for number, token in tokens.items()})
    kinds = [item.kind for item in study.items if not item.is_check]
    found = {"ratings": kinds.count(ItemKind.RATING), "comparisons": kinds.count(ItemKind.PAIR)}
    each = [one.annotator for one in study.assignments].count(1)
    if args.json:
        print_json({"study": str(args.study), **found, "annotators": config.annotators, "notes": list(study.notes)})
        return 0
    for note in study.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{args.study}: {found['ratings']} answers to rate, {found['comparisons']} comparisons; annotators: "
          f"{config.annotators}, about {each} items each, attention checks included")
    print(f"next: lavra rate serve {args.study}")
    return 0


def _serve(args: argparse.Namespace, settings: RateSettings) -> int:
    store = StudyStore(args.study)
    config = ServeConfig(host=settings.host, port=settings.port)
    serve(build_rating_app(store), config, on_ready=lambda url: _announce(args, store, settings.address or url))
    return 0


def _announce(args: argparse.Namespace, store: StudyStore, url: str) -> None:
    """Say each annotator's link; after that only errors are written."""
    activity.begin("")
    links = {name: f"{url.rstrip('/')}/#{token}" for name, token in read_links(args.study).items()}
    if args.json:
        print_json_line({"url": url, "links": links})
        return
    if not links:
        print(f"note: {links_path(args.study)} is gone, so the links cannot be shown; they still work, and "
              f"`lavra rate links {args.study}` makes new ones", file=sys.stderr)
    if store.is_closed:
        print(f"note: the study is closed; `lavra rate reopen {args.study}` takes judgements again", file=sys.stderr)
    for name, link in links.items():
        print(f"{name}  {link}")
    print(f"serving  {url}; Ctrl-C stops it, and the links work again the next time", flush=True)


def _links(args: argparse.Namespace, settings: RateSettings) -> int:
    with closing(StudyStore(args.study)) as store:
        people = {number: name for number, name in store.annotators().items() if store.num_assigned(number)}
        tokens = {number: new_token() for number in people}
        store.set_token_hashes({number: token_hash(token) for number, token in tokens.items()})
    write_links(args.study, {people[number]: token for number, token in tokens.items()})
    print(f"{len(tokens)} new links; the old ones are dead. `lavra rate serve {args.study}` prints them")
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


ACTIONS: Mapping[str, RateAction] = {
    "new": RateAction(_new, _STUDY | {"answers"}),
    "serve": RateAction(_serve, frozenset({"host", "port", "address"})),
    "links": RateAction(_links),
    "close": RateAction(_close),
    "reopen": RateAction(_reopen),
}
