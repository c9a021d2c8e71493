"""Reads one table of the config file into a frozen value, and collects everything wrong with it.

The keys of a table are declared with the value that it becomes: a form, a default, a line that
says what it is for. For dataclasses that stands in their fields (`key`); for values that live
elsewhere, such as a carrier, it is laid over their type hints (`keys_of_struct`). Nothing raises
at the first fault: a `Finding` is noted and the next key is read.
"""

import dataclasses
import difflib
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from gateway import forms
from gateway.forms import Form, Unreadable

Value = TypeVar("Value")
REQUIRED: Final = object()


class Finding(NamedTuple):
    """One thing wrong: where it stands, what was found, what would be right.

    `remedy` is empty when `problem` says both.
    """

    where: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{self.where}: {self.problem}{remedy}"


class Key(NamedTuple):
    """A key of a table. `default` is a value, or `REQUIRED`."""

    name: str
    form: Form
    default: Any
    about: str


def key(default: Any, form: Form, about: str) -> Any:
    """A field of a section: what stands there by default, how it is written, what it is for."""
    metadata = {"form": form, "about": about}
    if default is REQUIRED:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def keys_of_section(section: type) -> dict[str, Key]:
    """The keys of a dataclass whose fields were made by `key`."""
    return {
        field.name: Key(
            field.name,
            field.metadata["form"],
            REQUIRED if field.default is dataclasses.MISSING else field.default,
            field.metadata["about"],
        )
        for field in dataclasses.fields(section)
    }


def keys_of_struct(
    struct: type[msgspec.Struct],
    laid_over: Mapping[str, tuple[Form | None, str]],
    but: Collection[str] = (),
) -> dict[str, Key]:
    """The keys of a struct: its fields, with the forms and words that `laid_over` has for them.

    The fields named by `but` have no key.
    """
    hints = typing.get_type_hints(struct)
    keys = {}
    for field in (each for each in msgspec.structs.fields(struct) if each.name not in but):
        form, about = laid_over.get(field.name, (None, ""))
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()
        if default is msgspec.NODEFAULT:
            default = REQUIRED
        keys[field.name] = Key(field.name, form or form_of(hints[field.name]), default, about)
    return keys


def form_of(hint: Any) -> Form:
    """The form of a type hint: a plain type, an enum of texts, a tuple of one of these."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (tuple, list, frozenset):
        return forms.list_of(form_of(arguments[0]))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return forms.one_of(hint)
    plain = {
        bool: forms.boolean,
        int: forms.whole_number,
        float: forms.number,
        str: forms.text,
    }
    return plain[hint]()


def suggestion(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown `name`: the nearest known one, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"


class Reader:
    """Reads tables of one source (the name of a file, for the findings)."""

    def __init__(self, source: str, environ: Mapping[str, str], later: frozenset[str]) -> None:
        """`later` names keys (`section.key`) that a later version will know."""
        self._source = source
        self._environ = environ
        self._later = later
        self.findings: list[Finding] = []

    def note(self, where: str, problem: str, remedy: str = "", origin: str = "") -> None:
        """Add a finding about `where`, which stands in the file or in `origin`."""
        self.findings.append(Finding(f"{origin or self._source}: {where}", problem, remedy))

    def table(
        self,
        into: Callable[..., Value],
        keys: Mapping[str, Key],
        found: object,
        where: str,
        section: str,
        origins: Mapping[str, str] | None = None,
    ) -> Value | None:
        """The value that `into` makes of what `found` holds; None when something in it is wrong.

        `where` names the table for a person (`[[carriers]] 2 (acme)`), `section` for `later`;
        `origins` says of a key in which variable it stood; under "", in which the table did.
        """
        if not isinstance(found, dict):
            self.note(
                where,
                f"found {forms.described(found)}",
                "it should be a table of keys",
                (origins or {}).get("", ""),
            )
            return None
        before = len(self.findings)
        origins = origins or {}
        whole = origins.get("", "")
        for name in found.keys() - keys.keys():
            self._unknown(name, keys, where, section, origins.get(name, whole))
        values: dict[str, Any] = {}
        for name, declared in keys.items():
            if name in found:
                self._read(declared, found[name], where, origins.get(name, whole), values)
            elif declared.default is REQUIRED:
                self.note(
                    where, f"{name} is missing", f"it should be {declared.form.expected}", whole
                )
        return into(**values) if len(self.findings) == before else None

    def _unknown(
        self, name: str, keys: Mapping[str, Key], where: str, section: str, origin: str
    ) -> None:
        if f"{section}.{name}" in self._later:
            self.note(
                where, f"{name} comes with a later version", "leave it out until then", origin
            )
        else:
            self.note(where, f"there is no key {name}", suggestion(name, keys), origin)

    def _read(
        self, declared: Key, found: object, where: str, origin: str, values: dict[str, Any]
    ) -> None:
        try:
            if origin and isinstance(found, str):
                found = forms.from_variable(declared.form, found)
            values[declared.name] = declared.form.read(found, self._environ)
        except Unreadable as error:
            expected = str(error) or declared.form.expected
            shown = "a secret" if declared.form.hidden else forms.described(found)
            self.note(
                f"{where} {declared.name}", f"found {shown}", f"it should be {expected}", origin
            )
