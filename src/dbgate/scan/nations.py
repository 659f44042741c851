"""Numbers by which states know people, with the checks that python-stdnum knows.

`lookalike` follows how much a number gives itself away: letters and dates at fixed places, or nine plain digits that
companies have as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module

from dbgate.scan.recognizer import Recognizer, recognizer

_RARE, _USUAL, _PLAIN = 0.0005, 0.003, 0.02

_NUMBERS: tuple[tuple[str, str, str, float], ...] = (
    ("at.vnr", "Austrian insurance numbers", r"\d{4} ?\d{6}", _USUAL),
    ("au.tfn", "Australian tax file numbers", r"\d{3} ?\d{3} ?\d{3}", _PLAIN),
    ("be.nn", "Belgian national numbers", r"\d{2}\.?\d{2}\.?\d{2}-?\d{3}\.?\d{2}", _USUAL),
    ("bg.egn", "Bulgarian EGNs", r"\d{10}", _USUAL),
    ("br.cpf", "Brazilian CPFs", r"\d{3}\.?\d{3}\.?\d{3}-?\d{2}", _USUAL),
    ("ca.sin", "Canadian SINs", r"\d{3}[ -]?\d{3}[ -]?\d{3}", _PLAIN),
    ("ch.ssn", "Swiss AHV numbers", r"756\.?\d{4}\.?\d{4}\.?\d{2}", _RARE),
    ("cl.rut", "Chilean RUTs", r"\d{1,2}\.?\d{3}\.?\d{3}-[\dkK]", _USUAL),
    ("cn.ric", "Chinese resident identity numbers", r"\d{17}[\dXx]", _RARE),
    ("cz.rc", "Czech or Slovak birth numbers", r"\d{6}/?\d{3,4}", _USUAL),
    ("de.idnr", "German tax ids", r"\d{2} ?\d{3} ?\d{3} ?\d{3}", _USUAL),
    ("do.cedula", "Dominican cédulas", r"\d{3}-?\d{7}-?\d", _USUAL),
    ("ec.ci", "Ecuadorian identity numbers", r"\d{9}-?\d", _PLAIN),
    ("ee.ik", "Estonian or Lithuanian personal codes", r"[3-6]\d{10}", _USUAL),
    ("es.dni", "Spanish DNIs", r"\d{8}[ -]?[A-Za-z]", _RARE),
    ("es.nie", "Spanish NIEs", r"[XYZxyz]-?\d{7}-?[A-Za-z]", _RARE),
    ("fi.hetu", "Finnish personal codes", r"\d{6}[-+A-FU-Ya-fu-y]\d{3}[\dA-Ya-y]", _RARE),
    ("fr.nir", "French NIRs", r"[1-478] ?\d{2} ?\d{2} ?(?:\d{2}|2[AB]) ?\d{3} ?\d{3} ?\d{2}", _USUAL),
    ("gb.nhs", "NHS numbers", r"\d{3}[ -]?\d{3}[ -]?\d{4}", _USUAL),
    ("gr.amka", "Greek AMKAs", r"\d{11}", _USUAL),
    ("hr.oib", "Croatian OIBs", r"\d{11}", _USUAL),
    ("id.nik", "Indonesian NIKs", r"\d{16}", _PLAIN),
    ("ie.pps", "Irish PPS numbers", r"\d{7}[A-Wa-w][A-IWa-iw]?", _RARE),
    ("il.idnr", "Israeli identity numbers", r"\d{8}-?\d", _PLAIN),
    ("in_.aadhaar", "Aadhaar numbers", r"[2-9]\d{3}[ -]?\d{4}[ -]?\d{4}", _USUAL),
    ("in_.pan", "Indian PANs", r"[A-Za-z]{3}[ABCFGHJLPTabcfghjlpt][A-Za-z]\d{4}[A-Za-z]", _RARE),
    ("is_.kennitala", "Icelandic kennitölur", r"\d{6}-?\d{4}", _USUAL),
    (
        "it.codicefiscale",
        "Italian codici fiscali",
        r"[A-Za-z]{6}[\dA-Za-z]{2}[A-Za-z][\dA-Za-z]{2}[A-Za-z][\dA-Za-z]{3}[A-Za-z]",
        _RARE,
    ),
    ("jp.in_", "Japanese individual numbers", r"\d{4}[ -]?\d{4}[ -]?\d{4}", _USUAL),
    ("kr.rrn", "Korean resident numbers", r"\d{6}-?[0-9]\d{6}", _USUAL),
    ("lt.asmens", "Lithuanian personal codes", r"[3-6]\d{10}", _USUAL),
    ("mu.nid", "Mauritian identity numbers", r"[A-Za-z]\d{12}[\dA-Za-z]", _RARE),
    ("mx.curp", "Mexican CURPs", r"[A-Za-z]{4}\d{6}[HMhm][A-Za-z]{5}[\dA-Za-z]\d", _RARE),
    ("my.nric", "Malaysian NRICs", r"\d{6}-\d{2}-\d{4}", _RARE),
    ("nl.bsn", "Dutch BSNs", r"\d{4}\.?\d{2}\.?\d{3}", 0.008),
    ("no.fodselsnummer", "Norwegian birth numbers", r"\d{6} ?\d{5}", _USUAL),
    ("nz.ird", "New Zealand IRD numbers", r"\d{2,3}-\d{3}-\d{3}", _USUAL),
    ("pk.cnic", "Pakistani CNICs", r"\d{5}-\d{7}-\d", _RARE),
    ("pl.pesel", "Polish PESELs", r"\d{11}", _USUAL),
    ("pt.cc", "Portuguese citizen cards", r"\d{8} ?\d ?[A-Z\d]{2}\d", _USUAL),
    ("pt.nif", "Portuguese NIFs", r"[123]\d{2} ?\d{3} ?\d{3}", _PLAIN),
    ("ro.cnp", "Romanian CNPs", r"[1-9]\d{12}", _USUAL),
    ("ru.inn", "Russian personal INNs", r"\d{12}", _USUAL),
    ("se.personnummer", "Swedish personal numbers", r"(?:\d{2})?\d{6}[-+]?\d{4}", _USUAL),
    ("si.emso", "Slovenian EMŠOs and JMBGs", r"\d{13}", _USUAL),
    ("sk.rc", "Slovak birth numbers", r"\d{6}/\d{3,4}", _RARE),
    ("th.pin", "Thai identity numbers", r"\d-?\d{4}-?\d{5}-?\d{2}-?\d", _USUAL),
    ("tr.tckimlik", "Turkish identity numbers", r"[1-9]\d{10}", _USUAL),
    ("ua.rntrc", "Ukrainian tax numbers", r"\d{10}", _PLAIN),
    ("za.idnr", "South African identity numbers", r"\d{6} ?\d{4} ?\d{3}", _USUAL),
)

_NINO = re.compile(r"(?!BG|GB|NK|KN|NT)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]")


def _check(module: str) -> Callable[[str], bool]:
    """The check of python-stdnum's `module`, imported when it is first needed."""

    @cache
    def imported() -> Callable[[str], bool]:
        found: Callable[[str], bool] = import_module(f"stdnum.{module}").is_valid
        return found

    return lambda value: imported()(value)


def _nino(value: str) -> bool:
    """UK national insurance numbers (HMRC manual NIM39110)."""
    return _NINO.match(value.upper()) is not None


def _ssn(value: str) -> bool:
    """Areas, groups and serials that were given out (SSA, randomization of 2011 included)."""
    digits = value.replace("-", "").replace(" ", "")
    area = digits[:3]
    return area not in {"000", "666"} and area[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"


def _itin(value: str) -> bool:
    return value[0] == "9" and 50 <= int(value.replace("-", "")[3:5]) <= 99


def _cpr(value: str) -> bool:
    """Danish numbers: a day and a month; the check digit is given up since 2007."""
    return 1 <= int(value[:2]) <= 31 and 1 <= int(value[2:4]) <= 12


@cache
def national_numbers() -> tuple[Recognizer, ...]:
    """Recognizers of national numbers of people."""
    return tuple(_national())


def _national() -> Iterator[Recognizer]:
    for module, noun, shape, lookalike in _NUMBERS:
        yield recognizer("national", noun, shape, _check(module), lookalike=lookalike, checked=True)
    yield recognizer("ssn", "US social security numbers", r"\d{3}-\d{2}-\d{4}", _ssn, lookalike=0.004)
    yield recognizer("ssn", "US social security numbers", r"\d{3} \d{2} \d{4}", _ssn, lookalike=0.004)
    yield recognizer("ssn", "US social security numbers", r"\d{9}", _ssn, lookalike=0.3)
    yield recognizer("ssn", "US ITINs", r"9\d{2}-\d{2}-\d{4}", _itin, lookalike=0.004)
    nino = r"[A-Za-z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-DTa-dt]"
    yield recognizer("national", "UK national insurance numbers", nino, _nino, lookalike=0.001)
    yield recognizer("national", "Danish CPR numbers", r"\d{6}-\d{4}", _cpr, lookalike=0.02)
    yield recognizer("national", "Danish CPR numbers", r"\d{10}", _cpr, lookalike=0.3)
