"""How does a LibCST codemod run make the same rewrites?

    python -m libcst.tool codemod -x ga_lint.codemod.FixGradientAccumulation [--unsafe-fixes] PATHS

The project's configuration counts as for `ga-lint fix --no-verify`; what is left is told as a warning of the codemod.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import libcst as cst
from libcst.codemod import CodemodCommand, CodemodContext, SkipFile

from ga_lint.config import ConfigFinder
from ga_lint.engine.fix import Policy, fix_text


class FixGradientAccumulation(CodemodCommand):
    """One file for each run, as LibCST hands it over."""

    DESCRIPTION = "Rewrite losses that gradient accumulation gets wrong."

    def __init__(self, context: CodemodContext, unsafe_fixes: bool = False) -> None:
        super().__init__(context)
        self._unsafe = unsafe_fixes

    @staticmethod
    def add_args(arg_parser: argparse.ArgumentParser) -> None:
        text = "also make rewrites that change the gradient by intent"
        arg_parser.add_argument("--unsafe-fixes", action="store_true", help=text)

    def transform_module_impl(self, tree: cst.Module) -> cst.Module:
        path = Path(self.context.filename or "module.py")
        report = fix_text(path, tree.bytes, ConfigFinder(), Policy(unsafe=self._unsafe))
        for failure in report.left.failures:
            raise SkipFile(failure.error)
        for diagnostic in report.left.diagnostics:
            finding = diagnostic.finding
            reason = finding.fix_refusal or "there is no rewrite for it"
            self.warn(f"{finding.code} on line {finding.span.start.row} not rewritten: {reason}")
        return cst.parse_module(report.rewritten[0].after.data) if report.rewritten else tree
