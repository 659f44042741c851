"""The kinds of data that a scan looks for, the tags they get, and how likely they are before anything is seen."""

from __future__ import annotations

import msgspec


class Kind(msgspec.Struct, frozen=True):
    """A kind of data.

    `noun` names it in evidence (plural). `prior` is the log-odds that a column holds it before anything is known.
    `silence` is the log-likelihood of values of which none is recognised, were the column of this kind: small where
    every way of writing it is known, near zero where recognition is only a help. `types` are the type categories that
    can hold it (`pg_type.typcategory`: S string, N numeric, D date, U other, A array, E enum, I network).
    """

    name: str
    tag: str
    noun: str
    prior: float = -4.5
    silence: float = -1.0
    types: str = "S"


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("email", "pii.email", "e-mail addresses", silence=-6.0),
        Kind("phone", "pii.phone", "telephone numbers", silence=-3.5, types="SN"),
        Kind("person", "pii.name", "names of people", silence=-1.2),
        Kind("address", "pii.address", "postal addresses", silence=-1.0),
        Kind("postcode", "pii.address", "postal codes", prior=-5.0, silence=-2.5, types="SN"),
        Kind("birth", "pii.birth", "dates of birth", prior=-5.0, silence=-4.0, types="SDN"),
        Kind("ssn", "pii.ssn", "US social security numbers", silence=-1.5, types="SN"),
        Kind("national", "pii.id", "national identification numbers", silence=-1.0, types="SN"),
        Kind("document", "pii.id", "passport or licence numbers", silence=0.0, types="SN"),
        Kind("health", "pii.sensitive", "diagnosis codes", silence=-0.3, types="SENB"),
        Kind("ip", "pii.ip", "IP addresses", silence=-6.0, types="SI"),
        Kind("device", "pii.device", "device addresses", silence=-1.0, types="SNU"),
        Kind("location", "pii.location", "coordinates", prior=-5.0, silence=-2.5, types="SNGU"),
        Kind("pay", "finance.pay", "amounts of pay", silence=-2.5, types="SN"),
        Kind("iban", "finance.account", "IBANs", silence=-2.5),
        Kind("account", "finance.account", "bank account numbers", silence=0.0, types="SN"),
        Kind("bic", "finance.account", "BICs", prior=-5.0, silence=-4.0),
        Kind("card", "finance.card", "card numbers", silence=-2.0, types="SN"),
        Kind("cvv", "finance.card", "card security codes", silence=-2.5, types="SN"),
        Kind("password", "secret.password", "password hashes", silence=-0.3),
        Kind("token", "secret.token", "keys or tokens", silence=-0.3, types="SU"),
        Kind("text", "pii.text", "texts with personal data in them", prior=-4.0, silence=-6.0, types="SU"),
    )
}
