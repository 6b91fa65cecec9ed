"""Which of Record's attributes for clouds go together (reference: Record, Supported External Storage).

A store is named whole or not at all, and only one of them. What is empty counts as not given.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ..attributes import xml_name
from .base import Contradiction


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """One store: fields that must be there, and sets of fields of which one must be."""

    name: str
    prefix: str
    required: tuple[str, ...]
    keys: tuple[tuple[str, ...], ...]

    def missing(self, given: Collection[str]) -> Contradiction | None:
        """What is not given that the store cannot do without."""
        for field in self.required:
            if field not in given:
                return self._contradiction(field, _names(self.required))
        if any(set(fields) <= set(given) for fields in self.keys):
            return None
        begun = next((fields for fields in self.keys if set(fields) & set(given)), self.keys[0])
        field = next(field for field in begun if field not in given)
        return self._contradiction(field, ", or ".join(map(_names, self.keys)))

    def _contradiction(self, field: str, needed: str) -> Contradiction:
        return Contradiction(attribute=xml_name(field), found="missing", allowed=f"{needed} for {self.name}")


STORES: Final = (
    Store(
        name="Amazon S3",
        prefix="aws_",
        required=("aws_access_key", "aws_bucket_name", "aws_secret_key"),
        keys=((),),
    ),
    Store(
        name="Google Cloud Storage",
        prefix="gcp_",
        required=("gcp_bucket_name", "gcp_project"),
        keys=(("gcp_access_token",), ("gcp_refresh_token", "gcp_client_id", "gcp_client_secret")),
    ),
    Store(
        name="Azure Blob Storage",
        prefix="azure_",
        required=("azure_account_name", "azure_container_name"),
        keys=(("azure_account_key",), ("azure_sas_token",)),
    ),
)


def contradiction(given: Collection[str]) -> Contradiction | None:
    """What is wrong with these fields of Record, all of them filled; None where nothing is."""
    named = [(store, first) for store in STORES if (first := _first(store, given))]
    if len(named) > 1:
        (one, _), (other, field) = named[:2]
        found = f"{other.name} beside {one.name}"
        return Contradiction(attribute=xml_name(field), found=found, allowed="attributes of one store")
    return named[0][0].missing(given) if named else None


def _first(store: Store, given: Collection[str]) -> str:
    return next((field for field in given if field.startswith(store.prefix)), "")


def _names(fields: tuple[str, ...]) -> str:
    *rest, last = map(xml_name, fields)
    return f"{', '.join(rest)} and {last}" if rest else last
