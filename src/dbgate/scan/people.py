"""Recognizers of what has no form of its own: names of people and postal addresses, by words that are common in them.

The lists are short on purpose: a column of names is recognised by the share of common ones in it, not one by one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from dbgate.scan.recognizer import Recognizer, recognizer

FIRST_NAMES = frozenset(
    """
    james john robert michael william david richard joseph thomas charles christopher daniel matthew anthony mark donald
    steven paul andrew joshua kenneth kevin brian george timothy ronald edward jason jeffrey ryan jacob gary nicholas eric
    jonathan stephen larry justin scott brandon benjamin samuel gregory alexander frank patrick raymond jack dennis jerry
    tyler aaron jose adam nathan henry zachary douglas peter kyle noah ethan jeremy walter christian keith roger terry
    austin sean gerald carl harold dylan arthur lawrence jordan jesse bryan billy bruce gabriel joe logan alan juan albert
    willie elijah wayne randy vincent mason roy ralph bobby russell bradley philip eugene mary patricia jennifer linda
    elizabeth barbara susan jessica sarah karen lisa nancy betty sandra margaret ashley kimberly emily donna michelle carol
    amanda melissa deborah stephanie rebecca sharon laura cynthia dorothy amy kathleen angela shirley emma brenda pamela
    nicole anna samantha katherine christine helen debra rachel carolyn janet maria catherine heather diane olivia julie
    joyce victoria ruth virginia lauren kelly christina joan evelyn judith andrea hannah megan cheryl jacqueline martha
    madison teresa gloria sara janice ann kathryn abigail sophia frances jean alice judy isabella julia grace amber denise
    danielle marilyn beverly charlotte natalie theresa diana brittany doris kayla alexis lori tiffany tammy erin hans klaus
    wolfgang jurgen juergen dieter manfred uwe gunter guenter horst helmut bernd heinz stefan andreas matthias markus
    sebastian tobias florian jan lukas felix leon finn jonas ursula monika petra sabine renate gisela brigitte ingrid
    heike birgit claudia silke katrin anja lena lea mia sophie marie jean pierre michel andre philippe rene louis alain
    jacques bernard marcel daniel roger gerard claude francois nathalie isabelle sylvie monique valerie chantal celine
    camille manon chloe carlos jesus antonio manuel francisco luis miguel javier pedro alejandro fernando pablo jorge
    alberto rafael diego sergio raul enrique carmen josefa isabel dolores pilar ana lucia marta elena paula cristina
    rosa mercedes juana raquel beatriz silvia giuseppe giovanni mario luigi angelo vincenzo salvatore domenico franco
    marco paolo roberto luca alessandro matteo lorenzo francesca chiara giulia martina federica valentina alessia jan piet
    kees willem hendrik johannes sander bram daan anouk femke sanne maaike lars erik nils sven bjorn anders karin astrid
    freja linnea ole knut mette kirsten mikko juha matti timo kari tuula anne paivi jozef krzysztof andrzej piotr tomasz
    marcin pawel jakub agnieszka katarzyna malgorzata ewa magdalena joanna jiri petr pavel jana eva hana lenka ivan dmitri
    sergei alexei vladimir nikolai mikhail natalia svetlana irina tatiana olga joao paulo ricardo rodrigo tiago fernanda
    juliana mariana adriana leticia mohammed mohamed muhammad ahmed ali omar hassan hussein ibrahim mustafa yusuf fatima
    aisha amina khadija layla mehmet ayse emine hatice zeynep raj amit sanjay vijay rahul anil sunil priya anita neha
    pooja deepa lakshmi wei li ming jing yan hiroshi takashi yuki kenji akira sakura yoko minjun jihoon grace ada alan
    edsger donald dennis ken linus guido barbara radia hedy gustav oskar emil max moritz anton friedrich karl otto greta
    johanna clara ida frieda mathilde theo hugo jules arthur nina mila zoe ines iris noemi tim tom ben sam kim lee
    """.split()
)
LAST_NAMES = frozenset(
    """
    smith johnson williams brown jones garcia miller davis rodriguez martinez hernandez lopez gonzalez wilson anderson
    thomas taylor moore jackson martin lee perez thompson white harris sanchez clark ramirez lewis robinson walker young
    allen king wright scott torres nguyen hill flores green adams nelson baker hall rivera campbell mitchell carter
    roberts gomez phillips evans turner diaz parker cruz edwards collins reyes stewart morris morales murphy cook rogers
    gutierrez ortiz morgan cooper peterson bailey reed kelly howard ramos kim cox ward richardson watson brooks chavez
    wood james bennett gray mendoza ruiz hughes price alvarez castillo sanders patel myers long ross foster jimenez muller
    mueller schmidt schneider fischer weber meyer wagner becker schulz hoffmann koch bauer richter klein wolf schroder
    schroeder neumann schwarz zimmermann braun kruger krueger hofmann hartmann lange werner krause lehmann kohler koehler
    maier bernard dubois petit robert richard durand leroy moreau simon laurent lefebvre michel fournier girard bonnet
    dupont lambert fontaine rousseau vincent rossi russo ferrari esposito bianchi romano colombo ricci marino greco bruno
    gallo conti costa mancini rizzo fernandez romero alonso navarro dominguez vazquez gil serrano blanco molina castro
    ortega rubio silva santos oliveira souza pereira lima ferreira ribeiro almeida carvalho jansen devries bakker visser
    smit meijer mulder devos peeters janssens maes jacobs johansson andersson karlsson nilsson eriksson larsson olsson
    hansen olsen larsen pedersen nielsen jensen christensen rasmussen korhonen virtanen makinen nieminen nowak kowalski
    wisniewski wojcik kowalczyk kaminski lewandowski novak svoboda novotny dvorak horvath kovacs nagy toth szabo popescu
    ionescu ivanov petrov sidorov smirnov kuznetsov popov yilmaz kaya demir celik sahin khan singh kumar sharma gupta
    verma shah mehta reddy wang li zhang liu chen yang huang zhao wu zhou tanaka suzuki sato watanabe takahashi ito
    yamamoto nakamura park choi jung kang cohen levy mizrahi okafor mensah diallo traore ndiaye abdi hassan hussain ahmed
    oconnor obrien osullivan byrne walsh ryan murray macdonald campbell fraser gordon mueller lindgren berg lund
    """.split()
)
_COMPANY = re.compile(
    r"\b(?:inc|ltd|llc|llp|plc|gmbh|ag|kg|ohg|ug|mbh|co|corp|sarl|sas|sa|srl|spa|bv|nv|ab|oy|as|aps|group|sons|holdings?|"
    r"partners|limited|company|university|hospital|school|street|road|avenue|bank|stiftung|verein|e\.v|associates)\b|[&+@/\d]| and "
)
_NAME = r"[^\W\d_](?:[^\W\d_]|[ .,'’-]){1,60}"
_WORD = re.compile(r"[a-z]{2,}")
_STREET = (
    r"(?:street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|circle|square|sq|terrace|way|place|pl|"
    r"parkway|pkwy|highway|hwy|crescent|close|mews|grove|gardens|row|walk|hill|trail|plaza|crossing|ridge|view|villages?|"
    r"bypass|motorway|springs?|spurs?|turnpike|throughway|expressway|freeway|alley|canyon|cape|cliffs?|cove|creek|estates?|"
    r"extension|falls|ferry|fields?|flats?|ford|forest|fork|forge|harbors?|heights|hollow|inlet|islands?|isle|junctions?|keys?|"
    r"knolls?|lakes?|landing|light|loaf|loop|mall|manors?|meadows?|mills?|mission|mountains?|neck|oval|park|passage|path|"
    r"pike|pines?|plains?|points?|ports?|prairie|radial|ramp|ranch|rapids?|rest|river|roads|shoals?|shores?|skyway|"
    r"station|stravenue|stream|summit|trace|track|tunnel|union|unions|valleys?|viaduct|vista|wall|ways|wells|divide|dam|dale|brooks?|"
    r"burgs?|camp|bend|beach|bluffs?|bottom|branch|bridge|causeway|centers?|club|common|corners?|course|crest|glens?|greens?|haven|hills|lodge|mount|orchard|village)"
)
_NUMBERED = r"^(?:\d{1,5} ?[A-Za-z]{0,3},? )?"
_ADDRESS = re.compile(
    rf"\b\d{{1,6}}[A-Za-z]?(?:[/-]\d{{1,4}})?,? (?:[\w.'’-]{{1,30}} ){{1,5}}{_STREET}\b"
    r"|\w(?:stra(?:ss|ß)e|str\.|weg|platz|allee|gasse|damm|ring|ufer|straat|laan|plein|gracht|kade|gatan|vägen|vagen|veien|gata|"
    r"vej|gade|katu|tie)\.? ?\d{1,5} ?[A-Za-z]?\b"
    r"|^(?:[\w.-]{1,20} ){0,3}(?:stra(?:ss|ß)e|str\.|weg|platz|allee|gasse|damm|ring|ufer)[ \w.-]{0,40} \d{1,5} ?[A-Za-z]?\b"
    rf"|{_NUMBERED}(?:rue|avenue|av\.|boulevard|bd|place|chemin|impasse|allée|quai|cours|route|passage) (?:d[eu]s? |de la |de l['’]|d['’])?\S"
    r"|^(?:via|viale|piazza|piazzale|corso|vicolo|largo|strada|borgo|contrada|stretto|incrocio|rotonda|canale|vico) \S.{0,60}\d"
    r"|^(?:calle|c/|avenida|avda\.?|plaza|paseo|camino|ronda|carrera|pasaje|vial|cuesta|glorieta|acceso|callejón|urbanización|"
    r"rambla|alameda|pasadizo|cañada|rúa) (?:de )?(?:l[ao]s? )?\S.{0,60}\d"
    rf"|{_NUMBERED}(?:rua|travessa|alameda|largo|praça|praca|rodovia|estrada|av\.|avenida|viela|vila|jardim|parque|sítio|núcleo|"
    r"condomínio|colônia|chácara|fazenda|lagoa|loteamento|residencial|aeroporto|área|campo|conjunto|distrito|esplanada|estação|favela|"
    r"feira|ladeira|lago|morro|passarela|pátio|quadra|recanto|setor|trecho|trevo|vale|vereda|via|viaduto) (?:d[aeo]s? )?\S"
    r"|^(?:ul\.|ulica|aleja|al\.|pl\.|os\.|plac) \S.{0,60}\d|\bp\.? ?o\.? box \d|\bpostfach \d|\b(?:apt|suite|unit|flat)\.? ?\d",
    re.IGNORECASE,
)
_LONGEST_ADDRESS = 160


def plain(value: str) -> str:
    """Lower case, without accents."""
    split = unicodedata.normalize("NFKD", value.casefold().replace("ø", "o").replace("ł", "l").replace("'", ""))
    return "".join(c for c in split if not unicodedata.combining(c))


def is_person(value: str) -> bool:
    """Whether a common name stands in it, and nothing that companies, places or things are called by."""
    text = plain(value)
    if len(value.split()) > 5 or _COMPANY.search(text):
        return False
    return any(word in FIRST_NAMES or word in LAST_NAMES for word in _WORD.findall(text))


def is_address(value: str) -> bool:
    """A street with a number, or what mail calls a box or flat, as several countries write it."""
    return _ADDRESS.search(value[:_LONGEST_ADDRESS]) is not None


def is_full_name(value: str) -> bool:
    """A name of two words or more."""
    return " " in value.strip() and value[:1].isupper() and is_person(value)


@cache
def people() -> tuple[Recognizer, ...]:
    """Recognizers of names and addresses."""
    return (
        recognizer("person", "names with common first or last names", _NAME, is_person, lookalike=0.03, chance=0.02),
        recognizer(
            "person", "full names with common first or last names", _NAME, is_full_name, lookalike=0.008, chance=0.01
        ),
        recognizer("address", "street addresses", r"(?s).{6,300}", is_address, lookalike=0.003, chance=0.004),
    )


PARTIAL = frozenset({"person", "address"})
"""Kinds of which only a part of the values is recognised, however clean the column is."""
