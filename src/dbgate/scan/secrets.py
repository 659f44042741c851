"""Recognizers of secrets: keys and tokens whose issuers gave them a prefix, password hashes, connection strings, JWT.

Sources: the issuers' documentation of their token formats; RFC 7468 (PEM), RFC 7519 (JWT), crypt(5) (password hashes).
"""

from __future__ import annotations

import re
from functools import cache

from dbgate.scan.recognizer import Recognizer, recognizer

JWT = r"eyJ[A-Za-z0-9_-]{8,}\.(?:eyJ)?[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+){0,2}"
PEM = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
PREFIXED = "|".join(
    (
        r"(?:AKIA|ASIA|AROA|AIDA)[A-Z2-7]{16}",  # AWS
        r"AIza[0-9A-Za-z_-]{35}",  # Google
        r"ya29\.[0-9A-Za-z_-]{20,}",
        r"GOCSPX-[0-9A-Za-z_-]{20,}",
        r"gh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
        r"github_pat_[A-Za-z0-9_]{22,255}",
        r"gl(?:pat|dt|rt|ft|soat)-[A-Za-z0-9_-]{20,}",  # GitLab
        r"xox[abeoprs]-[A-Za-z0-9-]{10,}",  # Slack
        r"xapp-\d-[A-Za-z0-9-]{10,}",
        r"https://hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}",
        r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",  # Stripe
        r"whsec_[A-Za-z0-9+/=]{16,}",
        r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
        r"(?:AC|SK)[0-9a-f]{32}",  # Twilio
        r"npm_[A-Za-z0-9]{36}",
        r"pypi-[A-Za-z0-9_-]{50,}",
        r"dop_v1_[0-9a-f]{64}",  # DigitalOcean
        r"hf_[A-Za-z0-9]{30,}",
        r"hv[sbr]\.[A-Za-z0-9_-]{20,}",  # Vault
        r"sk-(?:proj-|ant-|or-)?[A-Za-z0-9_-]{20,}",
        r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",  # Shopify
        r"EAA[A-Za-z0-9]{30,}",  # Facebook
        r"\d{8,10}:AA[A-Za-z0-9_-]{33}",  # Telegram
        r"key-[0-9a-f]{32}",  # Mailgun
        r"AccountKey=[A-Za-z0-9+/]{40,}={0,2}",  # Azure
        r"[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}",
        r"AGE-SECRET-KEY-1[A-Z0-9]{40,}",
    )
)
HASHED = "|".join(
    (
        r"\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}",
        r"\$argon2(?:id|i|d)\$[^\s]{20,}",
        r"\$(?:scrypt|s0|7)\$[^\s]{20,}",
        r"scrypt:\d+:\d+:\d+\$[^\s]{20,}",
        r"\$(?:1|5|6|y|gy|sha1|md5)\$[^\s]{8,}",
        r"\$(?:P|H)\$[./A-Za-z0-9]{31}",
        r"\$pbkdf2[^$]*\$[^\s]{20,}",
        r"pbkdf2(?:_sha\d+\$|:sha\d+:)[^\s]{20,}",
        r"(?:bcrypt|bcrypt_sha256|argon2)\$\$?[^\s]{20,}",
        r"\{(?:SSHA|SHA|SMD5|SSHA256|SSHA512|CRYPT|PBKDF2)[^}]*\}[^\s]{12,}",
        r"SCRAM-SHA-(?:1|256|512)\$\d+:[^\s]{20,}",
        r"md5[0-9a-f]{32}",
        r"\*[0-9A-F]{40}",
    )
)
CONNECTION = (
    r"[a-z][a-z0-9+.-]{1,24}://[^\s:@/]{0,100}:[^\s@/]{1,200}@[^\s/]+(?:/\S*)?"
    r"|(?i:(?=[^=]{1,60}=)(?=.{0,400}\b(?:password|pwd|accountkey|sharedaccesskey)\s*=\s*[^;\s]+).+)"
)
FIND = re.compile(
    f"(?<![A-Za-z0-9])(?:{PREFIXED}|{HASHED}|{JWT}|{PEM}|[a-z][a-z0-9+.-]{{1,24}}://[^\\s:@/]{{1,100}}:[^\\s@/]{{3,200}}@[\\w.-]+)"
)
"""Any of these inside of a longer text."""


def is_random(value: str) -> bool:
    """Whether the value is made of digits and letters as generators of keys make them, and is no word or number."""
    body = re.sub(r"[^A-Za-z0-9]", "", value)
    kinds = sum(any(test(c) for c in body) for test in (str.isdigit, str.islower, str.isupper))
    return kinds >= 2 and len(set(body)) >= 10


@cache
def secrets() -> tuple[Recognizer, ...]:
    """Recognizers of secrets."""
    pem = rf"\s*{PEM}[\s\S]*"
    service = r'\s*\{[\s\S]*"private_key"[\s\S]*'
    opaque = r"[A-Za-z0-9+/_=.:~-]{16,512}"
    return (
        recognizer("token", "keys or tokens with a known prefix", PREFIXED, lookalike=0.0003),
        recognizer("token", "JSON web tokens", JWT, lookalike=0.0003),
        recognizer("token", "private keys", f"{pem}|{service}", lookalike=0.0003),
        recognizer("token", "connection strings with a password", CONNECTION, lookalike=0.001),
        recognizer("token", "secrets of several forms", f"{PREFIXED}|{JWT}|{pem}|{CONNECTION}", lookalike=0.0006),
        recognizer("token", "opaque strings", opaque, is_random, lookalike=0.35, chance=0.03),
        recognizer("password", "password hashes", HASHED, lookalike=0.0005),
        recognizer("password", "opaque strings", opaque, is_random, lookalike=0.45, chance=0.03),
    )
