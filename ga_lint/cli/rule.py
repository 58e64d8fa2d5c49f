"""`ga-lint rule`: what does this rule object to, and why?"""

from __future__ import annotations

import json

from ga_lint.cli import console
from ga_lint.cli.arguments import Arguments
from ga_lint.engine.own_rules import known_rules
from ga_lint.engine.select import no_such_rule
from ga_lint.errors import InternalError, UsageError
from ga_lint.resources import page_path, page_url
from ga_lint.rules.registry import Rule


def run(arguments: Arguments) -> int:
    rules = _asked_for(arguments)
    match arguments.text("output_format"):
        case "json":
            console.write(json.dumps([_record(rule) for rule in rules], indent=2) + "\n")
        case "markdown":
            console.write("\n".join(_page(rule) for rule in rules))
        case _ if arguments.switch("all"):
            width = max(len(rule.name) for rule in rules)
            console.write("".join(f"{rule.code}  {rule.name:<{width}}  {rule.summary}\n" for rule in rules))
        case _:
            color = console.wants_color(arguments.text("color"))
            console.write_page("\n".join(_page(rule) for rule in rules), color=color)
    return 0


def _asked_for(arguments: Arguments) -> list[Rule]:
    if arguments.switch("all"):
        return list(known_rules())
    if not arguments.words:
        raise UsageError("name a rule, such as `ga-lint rule GA101`, or list them with `ga-lint rule --all`")
    found = []
    for word in arguments.words:
        rules = [rule for rule in known_rules() if word in (rule.code, rule.name)]
        if not rules:
            raise no_such_rule(word, known_rules())
        found += rules
    return found


def _page(rule: Rule) -> str:
    try:
        return page_path(rule.code, rule.name).read_text(encoding="utf-8")
    except OSError as error:
        raise InternalError(f"{rule} has no page: {error}") from None


def _record(rule: Rule) -> dict[str, str]:
    return {
        "code": rule.code,
        "name": rule.name,
        "summary": rule.summary,
        "severity": rule.severity.value,
        "explanation": _page(rule),
        "url": page_url(rule.code, rule.name),
    }
