"""Made-up values for scans: of every kind that a scan looks for, with valid check digits, and of what only looks so.

Nobody's data: numbers are random. Check digits are computed here or by Faker, not by the library that dbgate checks with.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import string
import uuid
from collections.abc import Callable
from datetime import date, timedelta

from faker import Faker

Make = Callable[[], str]
LOCALES = "en_US en_GB de_DE fr_FR es_ES it_IT nl_NL pl_PL pt_BR sv_SE fi_FI no_NO da_DK".split()


def luhn_digit(body: str) -> str:
    total = 0
    for place, char in enumerate(reversed(body)):
        digit = int(char) * (2 if place % 2 == 0 else 1)
        total += digit - 9 if digit > 9 else digit
    return str(-total % 10)


class Values:
    """Generators of values, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.fake: dict[str, Faker] = {}
        for number, locale in enumerate(LOCALES):
            self.fake[locale] = Faker(locale)
            self.fake[locale].seed_instance(seed + number)
        self.count = 0

    def digits(self, count: int) -> str:
        return "".join(self.random.choice(string.digits) for _ in range(count))

    def letters(self, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
        return "".join(self.random.choice(alphabet) for _ in range(count))

    def pick(self, *choices: str) -> str:
        return self.random.choice(choices)

    def faker(self, method: str, locale: str = "en_US") -> Make:
        return lambda: str(getattr(self.fake[locale], method)()).replace("\n", ", ")

    # people

    def birth(self) -> str:
        return str(date(1940, 1, 1) + timedelta(days=self.random.randrange(24000)))

    def german_birth(self) -> str:
        day = date(1940, 1, 1) + timedelta(days=self.random.randrange(24000))
        return f"{day.day:02}.{day.month:02}.{day.year}"

    def german_tax_id(self) -> str:
        """Ten digits of which one comes twice and one not at all, and a check digit (ISO 7064 MOD 11,10)."""
        while True:
            pool = self.random.sample(string.digits, 9)
            body = [*pool, self.random.choice(pool)]
            self.random.shuffle(body)
            if body[0] != "0":
                break
        product = 10
        for char in body:
            total = (int(char) + product) % 10 or 10
            product = total * 2 % 11
        return "".join(body) + str((11 - product) % 10)

    def nhs(self) -> str:
        while True:
            body = self.pick("4", "6", "7") + self.digits(8)
            check = 11 - sum(int(c) * w for c, w in zip(body, range(10, 1, -1), strict=True)) % 11
            if check != 10:
                number = body + str(check % 11)
                return f"{number[:3]} {number[3:6]} {number[6:]}"

    def aadhaar(self) -> str:
        table = [[(i + j) % 5 if j < 5 else (i + j) % 5 + 5 for j in range(10)] for i in range(5)]
        table += [[(i - j) % 5 + 5 if j < 5 else (i - j) % 5 for j in range(10)] for i in range(5, 10)]
        order = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
        permutations = [list(range(10))]
        for _ in range(7):
            permutations.append(
                [permutations[-1][order[n]] if False else order[permutations[-1][n]] for n in range(10)]
            )
        body = self.pick(*"23456789") + self.digits(10)
        for check in string.digits:
            state = 0
            for place, char in enumerate(reversed(body + check)):
                state = table[state][permutations[place % 8][int(char)]]
            if state == 0:
                return body + check
        raise AssertionError

    def danish(self) -> str:
        return f"{self.random.randrange(1, 29):02}{self.random.randrange(1, 13):02}{self.random.randrange(40, 99)}-{self.digits(4)}"

    def sin(self) -> str:
        body = self.pick(*"1234567") + self.digits(7)
        return body + luhn_digit(body)

    def rut(self) -> str:
        body = str(self.random.randrange(5_000_000, 25_000_000))
        rest = 11 - sum(int(c) * (2 + n % 6) for n, c in enumerate(reversed(body))) % 11
        return f"{body}-{'0' if rest == 11 else 'K' if rest == 10 else rest}"

    def south_african(self) -> str:
        day = date(1950, 1, 1) + timedelta(days=self.random.randrange(20000))
        body = f"{day:%y%m%d}{self.digits(4)}08"
        return body + luhn_digit(body)

    def turkish(self) -> str:
        d = [int(c) for c in self.pick(*"123456789") + self.digits(8)]
        tenth = ((d[0] + d[2] + d[4] + d[6] + d[8]) * 7 - (d[1] + d[3] + d[5] + d[7])) % 10
        d.append(tenth)
        d.append(sum(d) % 10)
        return "".join(map(str, d))

    # money

    def card(self, prefix: str = "", length: int = 16) -> str:
        prefix = prefix or self.pick("4", "51", "55", "2223", "6011")
        body = prefix + self.digits(length - 1 - len(prefix))
        return body + luhn_digit(body)

    def spaced_card(self) -> str:
        number = self.card()
        return " ".join(number[n : n + 4] for n in range(0, 16, 4))

    def iban(self, country: str = "DE", digits: int = 18, head: str = "") -> str:
        body = head + self.digits(digits)
        text = "".join(str(int(c, 36)) for c in f"{body}{country}00")
        return f"{country}{98 - int(text) % 97:02}{body}"

    def any_iban(self) -> str:
        country, digits, head = self.random.choice(
            [("DE", 18, ""), ("FR", 23, ""), ("ES", 20, ""), ("NL", 10, "ABNA"), ("GB", 14, "BARC"), ("AT", 16, "")]
        )
        return self.iban(country, digits, head)

    def bic(self) -> str:
        return (
            self.letters(4, string.ascii_uppercase)
            + self.pick("DE", "FR", "NL", "IT")
            + self.letters(2, string.ascii_uppercase)
            + self.pick("", "XXX")
        )

    # networks and secrets

    def ipv4(self) -> str:
        return ".".join(str(self.random.randrange(1, 255)) for _ in range(4))

    def ipv6(self) -> str:
        return ":".join(self.letters(4, "0123456789abcdef") for _ in range(8))

    def mac(self) -> str:
        return ":".join(self.letters(2, "0123456789abcdef") for _ in range(6))

    def imei(self) -> str:
        body = "35" + self.digits(12)
        return body + luhn_digit(body)

    def jwt(self) -> str:
        def part(value: object) -> str:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

        return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': self.digits(9), 'iat': 1})}.{self.letters(43)}"

    def aws(self) -> str:
        return "AK" + "IA" + self.letters(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")

    def github(self) -> str:
        return "gh" + self.pick("p_", "o_", "s_") + self.letters(36)

    def slack(self) -> str:
        return "xo" + "xb-" + self.digits(12) + "-" + self.letters(24)

    def stripe(self) -> str:
        return "sk" + "_live_" + self.letters(24)

    def google(self) -> str:
        return "AI" + "za" + self.letters(35)

    def azure(self) -> str:
        return f"DefaultEndpointsProtocol=https;AccountName=corp{self.digits(3)};AccountKey={self.letters(86)}=="

    def pem(self) -> str:
        kind = "-----{} " + "RSA PRIVATE " + "KEY-----"
        return kind.format("BEGIN") + "\n" + self.letters(128) + "\n" + kind.format("END")

    def bcrypt(self) -> str:
        return "$2b$12$" + self.letters(53)

    def argon2(self) -> str:
        return f"$argon2id$v=19$m=65536,t=3,p=4${self.letters(22)}${self.letters(43)}"

    def connection(self) -> str:
        return f"postgres://app:{self.letters(14)}@db{self.digits(2)}.internal:5432/shop"

    def opaque(self) -> str:
        return self.letters(40)

    # what only looks like something

    def serial(self) -> str:
        self.count += 1
        return str(100_000_000 + self.count)

    def order(self) -> str:
        return self.digits(16)

    def short_order(self) -> str:
        return f"ORD-{self.digits(8)}"

    def version(self) -> str:
        return f"{self.random.randrange(1, 9)}.{self.random.randrange(20)}.{self.random.randrange(10)}.{self.random.randrange(40)}"

    def sha(self) -> str:
        return hashlib.sha256(self.digits(9).encode()).hexdigest()

    def md5(self) -> str:
        return hashlib.md5(self.digits(9).encode(), usedforsecurity=False).hexdigest()

    def uuid(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def ean(self) -> str:
        body = "40" + self.digits(10)
        return body + str(-sum(int(c) * (3 if n % 2 else 1) for n, c in enumerate(body)) % 10)

    def siren(self) -> str:
        body = self.digits(8)
        return body + luhn_digit(body)

    def sku(self) -> str:
        return f"{self.letters(3, string.ascii_uppercase)}-{self.digits(5)}"

    def stamp(self) -> str:
        return str(date(2021, 1, 1) + timedelta(days=self.random.randrange(1500))) + " 10:11:12"

    def number(self, low: float, high: float, places: int = 0) -> Make:
        return lambda: f"{self.random.uniform(low, high):.{places}f}"

    def word(self, *choices: str) -> Make:
        return lambda: self.random.choice(choices)

    def truth(self) -> str:
        return self.pick("true", "false")

    def product(self) -> str:
        return (
            self.pick("Green", "Oak", "Steel", "Classic", "Nordic", "Smart")
            + " "
            + self.pick("Table", "Lamp", "Chair", "Shelf", "Desk", "Sofa")
            + " "
            + self.digits(2)
        )

    def sentence(self) -> str:
        words = "please check the delivery of this order again because one part was missing and the box came open after rain".split()
        return " ".join(self.random.choice(words) for _ in range(14)).capitalize() + "."

    def with_share(self, share: float, other: Make, plain: Make) -> Make:
        return lambda: other() if self.random.random() < share else plain()

    def note_with(self, inside: Make, share: float = 0.3) -> Make:
        def make() -> str:
            text = self.sentence()
            return f"{text[:40]} {inside()} {text[40:]}" if self.random.random() < share else text

        return make

    def document(self, **fields: Make) -> Make:
        return lambda: json.dumps({name: make() for name, make in fields.items()})

    def array(self, make: Make) -> Make:
        return lambda: "{" + ",".join(f'"{make()}"' for _ in range(self.random.randrange(1, 4))) + "}"
