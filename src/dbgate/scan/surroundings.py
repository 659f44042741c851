"""Words around the names of columns: what turns their meaning, tables of people and of things, lookalikes."""

from __future__ import annotations

COMMENT_SHARE = 0.7
"""A phrase in a comment weighs less than one in the name: comments also tell what a column is not."""

NEGATIONS = frozenset("no not never kein keine nicht fake dummy synthetic anonymized anonymised pseudonym".split())

ABOUT = frozenset(
    """
    id ids type types kind status state count counts cnt num total flag verified valid validated confirmed enabled disabled
    active required optional template templates subject format length policy version created updated changed modified
    expires expiry expiration expired attempts provider domain opt optin optout subscribed preferences preference
    count sent delivered bounced opened at by on ts time timestamp since until class category code codes
    level rank rule rules ttl scope scopes issuer algorithm algo cost rounds strength limit currency min max avg sum
    grade band range budget bucket group source date label labels url link path file size width height color brand network
    country model ref reference sequence seq order idx index lookup mask masked format regex pattern bits
    allowed denied checked exists present missing is has needs can should must month frequency schedule
    """.split()
)
"""Words that say that a column is about such a thing and does not hold it: `email_verified`, `token_type`."""

PERSONS = frozenset(
    """
    person persons people employee employees staff user users customer customers client clients patient patients contact
    contacts member members student students teacher teachers applicant applicants candidate candidates guest guests
    subscriber subscribers passenger passengers tenant tenants citizen citizens resident residents driver drivers owner
    owners author authors payee payees beneficiary beneficiaries account accounts profile profiles hr crm personnel
    mitarbeiter kunde kunden benutzer personen patienten person angestellte kontakte mitglieder schueler bewerber
    cliente clientes usuario usuarios empleado empleados persona personas paciente pacientes alumno alumnos contacto
    client clients utilisateur utilisateurs employe employes salarie salaries personne personnes adherent adherents
    dipendente dipendenti utente utenti paziente pazienti clienti persone funcionario funcionarios pessoa pessoas
    medewerker medewerkers klant klanten gebruiker gebruikers pracownik pracownicy klient klienci osoby osoba
    household households insured policyholder policyholders lead leads signup signups participant participants donor donors
    worker workers voter voters visitor visitors physician physicians doctor doctors nurse nurses borrower borrowers
    """.split()
)
"""Tables of people."""

THINGS = frozenset(
    """
    product products item items article articles sku skus category categories catalog catalogue inventory stock warehouse
    warehouses store stores shop shops branch branches site sites city cities country countries region regions currency
    currencies department departments team teams project projects task tasks job jobs event events setting settings
    config configuration feature features flag flags plan plans tag tags label labels build builds release releases
    version versions migration migrations service services server servers machine machines part parts supplier suppliers
    vendor vendors company companies organization organizations org orgs produkt produkte artikel lager filiale filialen
    producto productos almacen tienda produit produits magasin entrepot prodotto prodotti magazzino sensor sensors
    asset assets vehicle vehicles station stations airport airports room rooms course courses book books movie movies
    metric metrics measurement measurements permission permissions role roles menu menus page pages
    location locations place places restaurant restaurants hotel hotels property properties firma firmen
    """.split()
)
"""Tables of things: a `name` in them is not a person's."""

INNOCENT = frozenset(
    """
    order invoice sku ean upc gtin isbn issn asin barcode serial tracking shipment batch lot part version build revision
    commit sha sha1 sha256 md5 checksum etag uuid guid hash digest fingerprint siren siret duns ein vat lei isin cusip
    sedol vin bestellnummer auftragsnummer rechnungsnummer artikelnummer hostname domain url uri slug path filename
    mime locale language timezone currency color colour price amount quantity qty weight height width length temperature
    score rating percent ratio sequence revision iteration port pid epoch ticket case kvk hrb firmenbuch uid ust
    city town ort stadt ciudad ville citta cidade stad company employer firma brand manufacturer supplier vendor job
    occupation position title country state region department team organisation organization institution school university
    bestellung commande pedido fattura factura facture zamowienie nonce trace span request correlation row line offset
    """.split()
)
"""Words of columns that look like something and are not."""
