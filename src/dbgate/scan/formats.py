"""Recognizers of what has a written form: addresses of mail and networks, telephones, cards, accounts, dates, codes."""

from __future__ import annotations

import re
from functools import cache
from ipaddress import ip_address

from dbgate.scan.recognizer import Recognizer, recognizer

EMAIL = (
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}@(?:[A-Za-z0-9À-ž](?:[A-Za-z0-9À-ž-]{0,61}[A-Za-z0-9À-ž])?\.)+[A-Za-z]{2,24}"
)
CARD = r"[2-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,7}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5}|3[068]\d{2}[ -]?\d{6}[ -]?\d{4}"
IBAN = r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]{4}){2,7}(?: ?[A-Za-z0-9]{1,4})?"
IPV4 = r"(?:\d{1,3}\.){3}\d{1,3}(?:/\d{1,2})?"
NANP = r"(?:\+?1[ .-]?)?(?:\([2-9]\d{2}\) ?|[2-9]\d{2}[ .-])\d{3}[ .-]\d{4}(?: ?(?:x|ext\.?) ?\d{1,6})?"
INTERNATIONAL = r"(?:\+|00)[1-9][0-9 ().\-/]{6,22}\d(?: ?(?:x|ext\.?) ?\d{1,6})?"
FORMATTED = r"\(?0?\d{1,5}\)?(?:[ .\-/]{1,2}\(?\d{1,8}\)?){1,6}(?: ?(?:x|ext\.?) ?\d{1,6})?"
REGIONS = (
    "US",
    "GB",
    "DE",
    "FR",
    "ES",
    "IT",
    "NL",
    "BE",
    "CH",
    "AT",
    "SE",
    "NO",
    "DK",
    "FI",
    "PL",
    "PT",
    "BR",
    "IN",
    "AU",
    "MX",
    "JP",
    "CN",
    "ZA",
    "TR",
    "RU",
    "CZ",
    "IE",
)
_PREFIXES = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d{2}|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|3(?:0[0-5]|[68]\d)\d{11}|6(?:011|5\d{2}|4[4-9]\d)\d{12}|35(?:2[89]|[3-8]\d)\d{12}|(?:62|81)\d{14,17}"
    r"|(?:5[0678]|6[37])\d{10,17}|220[0-4]\d{12}|60(?:4[1-9]|[5-8])\d{12,13}"
)
"""Prefixes and lengths of payment networks (ISO/IEC 7812-1)."""
_BIC_COUNTRIES = frozenset(
    """AD AE AF AG AL AM AO AR AT AU AZ BA BB BD BE BG BH BM BO BR BS BY CA CH CI CL CM CN CO CR CU CY CZ DE DK DO DZ EC EE
    EG ES ET FI FR GB GE GH GI GR GT HK HN HR HU ID IE IL IN IQ IR IS IT JM JO JP KE KH KR KW KY KZ LB LI LK LT LU LV LY
    MA MC MD ME MG MK MO MT MU MX MY MZ NG NI NL NO NP NZ OM PA PE PH PK PL PR PT PY QA RO RS RU SA SE SG SI SK SM SN SV
    TH TN TR TW TZ UA UG US UY UZ VA VE VN XK ZA ZM ZW""".split()
)
_DATES = re.compile(
    r"(?P<y>\d{4})-(?P<m>\d{2})-(?P<d>\d{2})(?:[T ].*)?|(?P<a>\d{1,2})[./-](?P<b>\d{1,2})[./-](?P<y2>\d{4})"
)


def is_card(value: str) -> bool:
    """Length and prefix of a payment network, and Luhn's check (ISO/IEC 7812-1)."""
    from stdnum import luhn

    digits = value.replace(" ", "").replace("-", "")
    return _PREFIXES.fullmatch(digits) is not None and len(set(digits)) > 1 and bool(luhn.is_valid(digits))


def is_iban(value: str) -> bool:
    """Country, length and the check of ISO 13616."""
    from stdnum import iban

    return bool(iban.is_valid(value))


def is_bic(value: str) -> bool:
    """ISO 9362: bank, country, place, branch."""
    return value[4:6] in _BIC_COUNTRIES


def is_ip(value: str) -> bool:
    """An address of IPv4 or IPv6, maybe with a prefix length."""
    return bool(ip_address(value.partition("/")[0].partition("%")[0]))


def is_international(value: str) -> bool:
    """A telephone number with its country's code, of a length that the country has."""
    import phonenumbers

    text = "+" + value[2:] if value.startswith("00") else value
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(text, None)))
    except phonenumbers.NumberParseException:
        return False


@cache
def _is_national(value: str) -> bool:
    import phonenumbers

    for region in REGIONS:
        try:
            if phonenumbers.is_valid_number(phonenumbers.parse(value, region)):
                return True
        except phonenumbers.NumberParseException:
            continue
    return False


def is_formatted(value: str) -> bool:
    """A national number as people write it: grouped, and valid in some country."""
    digits = sum(c.isdigit() for c in value)
    return 8 <= digits <= 15 and _DATES.fullmatch(value) is None and _is_national(value)


def is_imei(value: str) -> bool:
    """IMEI of a telephone (3GPP TS 23.003)."""
    from stdnum import imei

    return bool(imei.is_valid(value)) and value[0] in "0135689"


def birth_year(value: str) -> int | None:
    """The year of a date, if it is one."""
    found = _DATES.fullmatch(value)
    if found is None:
        return None
    if found["y"]:
        return int(found["y"]) if 1 <= int(found["m"]) <= 12 and 1 <= int(found["d"]) <= 31 else None
    return int(found["y2"]) if 1 <= min(int(found["a"]), int(found["b"])) <= 12 else None


def is_birth(value: str) -> bool:
    """A date, or a year, on which somebody who lives may have been born."""
    year = int(value) if re.fullmatch(r"\d{4}", value) else birth_year(value)
    return year is not None and 1900 <= year <= 2030


def is_coordinate(value: str) -> bool:
    """Degrees with decimals, one or a pair."""
    return all(abs(float(part)) <= 180 for part in re.findall(r"-?\d+(?:\.\d+)?", value))


def is_amount(value: str) -> bool:
    """An amount that somebody may be paid."""
    return 1 <= float(re.sub(r"[^\d.]", "", value)) < 1e8


@cache
def formats() -> tuple[Recognizer, ...]:
    """Recognizers of written forms."""
    plain = r"(?:\+|00)?\d{8,15}"
    return (
        recognizer("email", "e-mail addresses", rf"(?:mailto:|[\w .'\"-]{{0,60}}<)?{EMAIL}>?", lookalike=0.0005),
        recognizer("phone", "telephone numbers", INTERNATIONAL, is_international, lookalike=0.003),
        recognizer("phone", "telephone numbers", NANP, lookalike=0.006),
        recognizer("phone", "telephone numbers", rf"{INTERNATIONAL}|{NANP}|{FORMATTED}", _any_phone, lookalike=0.012),
        recognizer("phone", "telephone numbers", plain, lookalike=0.35, chance=0.05),
        recognizer("card", "card numbers", CARD, is_card, checked=True, lookalike=0.0007),
        recognizer("iban", "IBANs", IBAN, is_iban, checked=True, lookalike=0.0003),
        recognizer("bic", "BICs", r"[A-Z]{6}[A-Z0-9]{2}(?:[A-Z0-9]{3})?", is_bic, lookalike=0.01, chance=0.01),
        recognizer("cvv", "card security codes", r"\d{3,4}", lookalike=0.4, chance=0.02),
        recognizer("ip", "IP addresses", rf"{IPV4}|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]+(?:/\d+)?", is_ip, lookalike=0.004),
        recognizer(
            "device",
            "MAC addresses",
            r"(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|(?:[0-9a-f]{4}\.){2}[0-9a-f]{4}",
            lookalike=0.002,
        ),
        recognizer("device", "IMEIs", r"\d{15}", is_imei, checked=True, lookalike=0.01),
        recognizer("birth", "dates of birth", r"\d{4}|[\d./-]{8,10}(?:[T ].*)?", is_birth, lookalike=0.35, chance=0.02),
        recognizer(
            "location",
            "coordinates",
            r"[\[(]?-?\d{1,3}\.\d{3,}(?:[,; ]+-?\d{1,3}\.\d{3,})?[\])]?|POINT ?\(.*\)",
            is_coordinate,
            lookalike=0.08,
            chance=0.02,
        ),
        recognizer(
            "pay",
            "amounts of pay",
            r"[€$£]? ?\d[\d,' ]*(?:\.\d+)?(?: ?[A-Z€$£]{1,3})?",
            is_amount,
            lookalike=0.4,
            chance=0.05,
        ),
        recognizer("health", "ICD-10 codes", r"[A-TV-Z]\d[0-9AB](?:\.[0-9A-Z]{1,4})?", lookalike=0.03),
        recognizer(
            "postcode",
            "postal codes",
            r"\d{4,5}(?:-\d{3,4})?|[A-Z]{1,2}\d[\dA-Z]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d|\d{4} ?[A-Z]{2}|\d{2}-\d{3}|\d{3} ?\d{2}",
            lookalike=0.3,
            chance=0.02,
        ),
    )


def _any_phone(value: str) -> bool:
    if re.fullmatch(NANP, value):
        return True
    return is_international(value) if value.startswith(("+", "00")) else is_formatted(value)
