"""What is found in columns, and what is not: made-up values, without a database."""

from __future__ import annotations

import json
from itertools import product

import pytest
from tests.scan.values import Values

from dbgate.model import ColumnName
from dbgate.scan.chance import chance_rate, column_weight
from dbgate.scan.formats import formats, is_card
from dbgate.scan.nations import national_numbers
from dbgate.scan.people import people
from dbgate.scan.prose import found_in
from dbgate.scan.secrets import secrets
from dbgate.scan.subject import Finding, Sample, Subject
from dbgate.scan.unpacking import Unpacked, decoded
from dbgate.scan.weighing import weigh
from dbgate.scan.words import words

V = Values(11)


def found(
    name: str, values: list[str], *, base: str = "text", category: str = "S", comment: str = "", table: str = "t"
) -> list[Finding]:
    subject = Subject(ColumnName("s", table, name), base, category, comment)
    return [finding for finding in weigh(subject, Sample(values)) if finding.confidence >= 0.5]


def many(make: object, count: int = 80) -> list[str]:
    return [make() for _ in range(count)]  # type: ignore[operator]


def test_random_and_sequential_numbers_pass_luhn_by_chance() -> None:
    numbers = ["4" + V.digits(15) for _ in range(300)]
    rate = chance_rate(numbers, is_card)
    assert 0.03 < rate < 0.25
    assert column_weight(30, 300, rate, 0.001) < 0
    assert column_weight(300, 300, rate, 0.001) > 5
    assert found("c", [str(4_000_000_000_000_000 + n) for n in range(300)]) == []
    assert found("c", numbers) == []


def test_cards_are_found_by_value_alone_and_say_how_often_chance_would() -> None:
    (finding,) = found("c", many(V.card))
    assert (finding.tag, finding.evidence.recognized, finding.evidence.sampled) == ("finance.card", 80, 80)
    assert finding.evidence.words == (
        f"80 of 80 different values are card numbers ({finding.evidence.chance:.0%} would be by chance)",
    )


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("order_number", V.order), ("ref", V.serial), ("release", V.version), ("digest", V.sha), ("key", V.uuid),
        ("barcode", V.ean), ("siren", V.siren), ("created", V.stamp), ("sku", V.sku), ("state", V.truth),
        ("email_verified", V.truth), ("phone_type", V.word("home", "work")), ("token_count", V.number(0, 9)),
        ("card_type", V.word("visa", "amex")), ("password_changed_at", V.stamp), ("file_name", V.word("a.txt", "b.txt")),
        ("note", V.sentence), ("product_name", V.product), ("address_id", V.serial), ("iban_valid", V.truth),
    ],
)  # fmt: skip
def test_lookalikes_are_left_alone(name: str, make: object) -> None:
    assert found(name, many(make)) == []


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("KUNDEN_E_MAIL", "pii.email"), ("kundenEmail", "pii.email"), ("sozialversicherungsnummer", "pii.id"),
        ("cust_ssn", "pii.ssn"), ("dateOfBirth", "pii.birth"), ("fechaNacimiento", "pii.birth"), ("pwd", "secret.password"),
        ("contraseña", "secret.password"), ("acct_nbr", "finance.account"), ("IBAN", "finance.account"),
        ("numéro_de_téléphone", "pii.phone"), ("Straße", "pii.address"), ("CreditCardNo", "finance.card"),
    ],
)  # fmt: skip
def test_an_empty_table_is_judged_by_names(name: str, tag: str) -> None:
    (finding,) = found(name, [])
    assert finding.tag == tag
    assert finding.evidence.sampled == 0


def test_a_comment_counts_unless_it_denies() -> None:
    assert [f.tag for f in found("x", [], comment="IBAN of the payee")] == ["finance.account"]
    assert found("x", [], comment="not an IBAN") == []


def test_name_and_table_decide_together() -> None:
    assert [f.tag for f in found("name", [], table="employees")] == ["pii.name"]
    assert found("name", [], table="products") == []
    assert [f.tag for f in found("latitude", ["52.52001", "48.85661"] * 20, table="user_positions")] == ["pii.location"]
    assert found("latitude", ["52.52001", "48.85661"] * 20, table="stores") == []


def test_documents_are_told_by_path_and_keys_that_are_data_by_a_star() -> None:
    texts = [json.dumps({"contact": {"mail": f"a{n}@corp.example"}, "n": n}) for n in range(20)]
    (finding,) = found("doc", texts, base="jsonb", category="U")
    assert (finding.tag, finding.path) == ("pii.email", "$.contact.mail")
    keyed = [json.dumps({f"secret{n}": {"mail": f"a{n}@corp.example"}}) for n in range(20)]
    (finding,) = found("doc", keyed, base="jsonb", category="U")
    assert finding.path == "$.*.*"
    assert "secret" not in str(finding)


def test_many_keys_that_are_addresses_are_values() -> None:
    texts = [json.dumps({f"a{n}-{m}@corp.example": True for m in range(5)} | {"v": 1}) for n in range(20)]
    assert ("*",) in Unpacked([json.dumps({f"a{n}": "x"}) for n in range(60)]).values
    assert [f.tag for f in found("doc", [t.replace("true", "1") for t in texts], base="jsonb", category="U")] == [
        "pii.email"
    ]


def test_encoded_and_cut_values_are_read() -> None:
    assert decoded("\\x" + b"ann@corp.example".hex()) == "ann@corp.example"
    assert [
        f.tag for f in found("b", ["\\x" + V.github().encode().hex() for _ in range(20)], base="bytea", category="U")
    ] == ["secret.token"]
    texts = [json.dumps({"to": {"mail": f"a{n}@corp.example"}}) for n in range(20)]
    assert [(f.tag, f.path) for f in found("payload", texts)] == [("pii.email", "$.to.mail")]
    cut = [json.dumps({"mail": f"a{n}@corp.example", "rest": "x" * 50})[:-20] for n in range(20)]
    assert [f.tag for f in found("doc", cut, base="json", category="U")] == ["pii.email"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("please write to ann@corp.example about this", "email"), ("paid with 4111 1111 1111 1111 today", "card"),
        ("login from 10.20.30.40 failed", "ip"), ("call me at (212) 555-0199 please", "phone"),
        ("her number is 219-09-9999 as said", "ssn"), ("Dear Mrs Lindgren, thank you", "person"),
        ("the parcel 4111 1111 1111 1112 is late", ""), ("update to 10.20.30.40 of the library", ""),
    ],
)  # fmt: skip
def test_texts_are_searched(text: str, kind: str) -> None:
    assert found_in(text) == kind


def test_values_cannot_be_seen_in_what_is_printed() -> None:
    sample = Sample(["4111111111111111"])
    assert repr(sample) == str(sample) == "<1 values>"
    assert not hasattr(sample, "__dict__")


def test_no_value_makes_a_recognizer_stumble_or_run_for_ever() -> None:
    pieces = [
        "a",
        "1",
        " ",
        "-",
        ".",
        "a ",
        "1-",
        "1.",
        "(",
        "+1",
        "/",
        "=",
        "a@",
        "eyJa.",
        "'",
        "\n",
        "\x00",
        "é",
        "²",
        "٣",
        "rue ",
        "{",
        '"a":',
        "\\x41",
    ]
    texts = [piece * (600 // len(piece)) for piece in pieces] + [(a + b) * 60 for a, b in product(pieces, pieces)]
    recognizers = (*formats(), *secrets(), *people(), *national_numbers())
    for text in texts:
        assert all(recognizer.holds(text) in {True, False} for recognizer in recognizers)
        assert isinstance(found_in(text), str)
        assert Unpacked([text]).values is not None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("emailAddr", ("email", "address")), ("EMAIL_ADDR", ("email", "address")), ("HTTPServer2", ("http", "server", "2")),
        ("kontoNr", ("konto", "number")), ("telefonnummer", ("telefon", "number")), ("Größe", ("grosse",)),
    ],
)  # fmt: skip
def test_words_of_names(name: str, expected: tuple[str, ...]) -> None:
    assert words(name) == expected
