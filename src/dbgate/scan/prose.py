"""What can be found inside of longer texts: notes, messages, logs, documents."""

from __future__ import annotations

import re

from dbgate.scan import formats, secrets
from dbgate.scan.people import FIRST_NAMES, plain

_EMAIL = re.compile(rf"(?<![\w.]){formats.EMAIL}")
_CARD = re.compile(rf"(?<![\d-])(?:{formats.CARD})(?![\d-])")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b")
_SSN = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_PHONE = re.compile(r"(?<![\w+])\+[1-9][0-9 ().\-/]{6,20}\d(?!\d)")
_NANP = re.compile(r"(?<![\d-])(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[-.])\d{3}[-.]\d{4}(?![\d-])")
_CALL = re.compile(
    r"(?i)\b(?:phone|tel|telefon|telephone|telefono|mobile|mobil|handy|cell|call|fax)\b\D{0,12}([0-9+][0-9 ()/.-]{6,20}\d)"
)
_IP = re.compile(
    r"(?i)\b(?:ip|from|addr(?:ess)?|client|host|remote|von|by|peer)\b[\s=:\[\"']{1,4}(?:\d{1,3}\.){3}\d{1,3}\b"
)
_SAID = re.compile(
    r"(?i)\b(?:ssn|social security|passport|national id|tax id|personalausweis|steuer-?id|dni|nif|nino|date of birth|dob|geboren am|"
    r"geburtsdatum|n[ée]e? le|nacid[oa]|passwor[dt]|kennwort|pin|pwd)\b\s*(?:number|nr|no|is|ist|:|=|#|\s){1,3}\s*\S*\d"
)
_TITLE = re.compile(
    r"\b(?:Mr|Mrs|Ms|Miss|Dr|Herrn?|Frau|Mme|Mlle|Monsieur|Madame|Sr|Sra|Señor|Señora|Sig|Signora?|Dhr|Mevr|Pan|Pani)\.? [A-ZÀ-Ž][\w'’-]+"
)
_NAME = re.compile(r"\b([A-ZÀ-Ž][a-zà-ž]+) [A-ZÀ-Ž][a-zà-ž'’-]+\b")


_LONGEST = 2000
"""Of a longer text only the beginning is read."""


def found_in(text: str) -> str:
    """The kind of data that stands inside of a text, or nothing. A secret goes first."""
    text = text[:_LONGEST]
    if secrets.FIND.search(text):
        return "token"
    if "@" in text and _EMAIL.search(text):
        return "email"
    if any(formats.is_card(match[0]) for match in _CARD.finditer(text)):
        return "card"
    if any(_holds_iban(match[0]) for match in _IBAN.finditer(text)):
        return "iban"
    if _SSN.search(text):
        return "ssn"
    if _NANP.search(text) or _CALL.search(text) or any(formats.is_international(m[0]) for m in _PHONE.finditer(text)):
        return "phone"
    if _IP.search(text):
        return "ip"
    if _SAID.search(text):
        return "national"
    if _TITLE.search(text) or any(plain(match[1]) in FIRST_NAMES for match in _NAME.finditer(text)):
        return "person"
    return ""


def _holds_iban(text: str) -> bool:
    """An IBAN, maybe with the first letters of the next word taken for its end."""
    return formats.is_iban(text) or formats.is_iban(text.rpartition(" ")[0])
