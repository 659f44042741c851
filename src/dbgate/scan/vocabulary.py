"""What columns and tables are called, in the languages that databases are written in.

A weight is the logarithm of how much likelier the phrase is for a column of that kind than for any other: 6 says it all,
4 needs no more than nothing against it, 2.5 needs something else as well. Two entries of a kind differ after `/`.
"""

from __future__ import annotations

from dbgate.scan.words import Lexicon

COLUMNS = Lexicon(
    {
        "email": (
            6.5,
            "email,e mail,emails,mail address,mailaddress,email addr,correo,correo electronico,courriel,adresse mail,"
            "adresse electronique,posta elettronica,epost,e post,eposta,sahkoposti,correio eletronico,emailadresse,"
            "mailadresse,e mail adresse,eml",
        ),
        "email/2": (4.0, "mail,posta,mail to,correio,mel"),
        "phone": (
            6.0,
            "phone,phones,telephone,phone number,phone no,mobile number,cell phone,cellphone,mobile phone,telefon,"
            "telefono,telefonnummer,handynummer,mobilnummer,mobiltelefon,rufnummer,numero de telephone,telefoonnummer,"
            "telefone,celular,cellulare,msisdn,telefonszam,puhelin,puhelinnumero,telefoon,portable,whatsapp,"
            "telefono movil,numero telefono,tel no,tel nr,tlf,tel number,fax number,faxnummer",
        ),
        "phone/2": (4.0, "mobile,tel,cell,handy,fax,movil,gsm,contact number,mob,ph no"),
        "person": (
            6.0,
            "first name,last name,full name,given name,family name,middle name,surname,maiden name,vorname,nachname,"
            "familienname,geburtsname,prenom,nom de famille,apellido,apellidos,primer apellido,nombre completo,cognome,"
            "nome completo,sobrenome,voornaam,achternaam,imie,nazwisko,fornamn,efternamn,fornavn,etternavn,efternavn,"
            "sukunimi,etunimi,fname,lname,forename,customer name,employee name,patient name,contact name,person name,"
            "account holder,card holder,cardholder,cardholder name,kontoinhaber,karteninhaber,holder name,owner name,"
            "emergency contact,next of kin,mothers maiden name,mother maiden name,mother name,father name,spouse name,"
            "display name,kundenname,nickname,ansprechpartner,beneficiary name,recipient name,nom prenom,"
            "name of person,legal name,insured name,guest name,student name,ime,prezime,jmeno,prijmeni,nev,soyad,ad soyad",
        ),
        "person/2": (2.7, "name,nom,nome,nombre,naam,namn,navn,nazwa,nimi,isim,author,signatory,beneficiary,holder"),
        "address": (
            6.0,
            "street,street address,home address,postal address,mailing address,billing address,shipping address,"
            "delivery address,address line,address 1,address 2,addr line,residence,strasse,hausnummer,anschrift,"
            "wohnanschrift,adresse postale,rue,calle,domicilio,direccion,indirizzo,endereco,logradouro,straat,"
            "straatnaam,ulica,adres,gatuadress,residential address,street name,house number,lieferadresse,"
            "rechnungsadresse,huisnummer,via residenza,permanent address",
        ),
        "address/2": (4.0, "address,adresse,addr,postal,lakcim,osoite"),
        "postcode": (
            4.5,
            "postcode,postal code,zip code,zip,post code,plz,postleitzahl,code postal,codigo postal,cap,cep,postnummer,zipcode,kod pocztowy",
        ),
        "birth": (
            6.5,
            "birth date,date of birth,birthdate,dob,birthday,born on,born,birth day,geburtsdatum,geb datum,gebdat,"
            "geboren am,geburtstag,fecha de nacimiento,fecha nacimiento,fec nac,fecha nac,nacimiento,date de naissance,"
            "date naissance,naissance,data di nascita,data nascita,data de nascimento,data nascimento,nascimento,"
            "geboortedatum,data urodzenia,fodelsedatum,fodselsdato,syntymaaika,birth dt,date birth,bday,dt nasc,"
            "birth year,year of birth,yob,place of birth,birth place,birthplace,geburtsort,dogum tarihi",
        ),
        "ssn": (
            6.5,
            "ssn,social security,social security number,social security no,soc sec,ssnr,us ssn,social sec no,itin",
        ),
        "national": (
            6.0,
            "national id,national identity,national identification,nationalid,tax id,tax number,tax no,tax file number,"
            "tin,taxpayer id,nino,ni number,national insurance,nhs number,nhs no,steuer id,steuer identifikation,"
            "steuer idnr,steuernummer,idnr,sozialversicherungsnummer,sv nummer,svnr,ahv nummer,ahvnr,dni,nie,nif,"
            "codice fiscale,cod fiscale,codfisc,nir,numero secu,numero securite sociale,securite sociale,insee,bsn,"
            "burgerservicenummer,rijksregisternummer,pesel,personnummer,personal number,personal id,personal code,"
            "fodselsnummer,cpr,cpr nummer,cpr number,hetu,henkilotunnus,cpf,aadhaar,aadhar,pan number,pan no,curp,rfc,"
            "rut,run,cedula,egn,cnp,rodne cislo,isikukood,asmens kodas,oib,emso,jmbg,amka,tckn,tc kimlik,kimlik no,"
            "teudat zehut,sin number,social insurance,tfn,ird number,rrn,resident registration,resident id,id card,"
            "identity card,identity number,citizen id,citizen number,my number,nric,documento identidad,government id,"
            "govt id,pps number,ppsn,medicare number,insurance number,versichertennummer,krankenversicherungsnummer,"
            "kvnr,egk,nummer personalausweis,personalausweis,personalausweisnummer,ausweisnummer,carte vitale",
        ),
        "national/2": (3.5, "sin,nss,nis,ird,pps,nhs,ahv,tc no,rg"),
        "document": (
            6.0,
            "passport,passport number,passport no,reisepass,passnummer,passeport,pasaporte,passaporto,driver license,"
            "drivers license,driving licence,driver licence,driving license,fuehrerschein,fuhrerschein,permis de conduire,"
            "licencia de conducir,patente di guida,dl number,license plate,licence plate,number plate,kfz kennzeichen,"
            "visa number,green card number,alien number,medical record number,mrn,patient number,health insurance number,"
            "reisepassnummer,rijbewijs",
        ),
        "health": (
            5.5,
            "diagnosis,diagnoses,diagnosis code,icd,icd 10,icd code,icd10,blood type,blood group,blutgruppe,allergies,"
            "medical history,medical condition,medication,medications,prescription,disability,disabilities,"
            "religion,konfession,ethnicity,ethnic group,race,sexual orientation,trade union,union member,"
            "political opinion,hiv status,krankheit,diagnose,diagnostico,maladie,fingerprint,biometric,genetic,"
            "behinderung,treatment,symptoms,vaccination,criminal record,gewerkschaft,religione,religieuse,groupe sanguin",
        ),
        "ip": (
            6.0,
            "ip,ip address,ip addr,ipaddress,ipv4,ipv6,client ip,remote ip,remote addr,source ip,src ip,last ip,login ip,ip adresse,direccion ip,adresse ip,client address,remote address,peer address",
        ),
        "device": (
            5.5,
            "mac,mac address,mac addr,hw addr,hardware address,imei,imsi,device id,device identifier,idfa,gaid,advertising id,device serial,device fingerprint,bluetooth address,wifi mac,iccid",
        ),
        "location": (
            4.0,
            "latitude,longitude,lat,lng,lon,geo,geolocation,gps,coordinates,geo point,lat lng,lat lon,last location,breitengrad,laengengrad,latitud,longitud,geoloc,position gps,last position",
        ),
        "pay": (
            6.0,
            "salary,salaries,wage,wages,gehalt,monatsgehalt,jahresgehalt,lohn,bruttolohn,nettolohn,salaire,salario,"
            "stipendio,sueldo,loon,salaris,wynagrodzenie,palkka,net pay,gross pay,base pay,compensation,bonus,"
            "hourly rate,pay rate,annual income,income,remuneration,commission amount,monthly pay,brutto gehalt,"
            "retribuzione,salario bruto,remuneracion,nomina,einkommen,severance,stock grant,salary amount,pay amount,"
            "yearly salary,gross salary,net salary,take home,pension amount,maas",
        ),
        "pay/2": (3.0, "lon,pay,rate of pay,fee,honorar"),
        "iban": (6.5, "iban,iban number,iban nr,iban code"),
        "account": (
            5.5,
            "bank account,account number,acct no,acct number,account no,bank acct,kontonummer,konto nr,ktonr,"
            "kontonr,numero de cuenta,cuenta bancaria,numero compte,compte bancaire,conto corrente,conta bancaria,"
            "rekeningnummer,numer konta,numer rachunku,sort code,routing number,aba number,bankleitzahl,blz,clabe,bsb,rib,"
            "account nbr,bankverbindung,swift account,depotnummer",
        ),
        "bic": (5.0, "bic,swift,swift code,bic code,swift bic"),
        "card": (
            6.0,
            "card number,card no,card nr,cardnumber,credit card,creditcard,debit card,cc number,cc num,ccnum,cc no,pan,"
            "primary account number,kartennummer,kreditkarte,kreditkartennummer,numero de carte,numero carte,"
            "carte bancaire,numero tarjeta,tarjeta,tarjeta credito,numero carta,carta di credito,cartao,numero cartao,"
            "kaartnummer,payment card,card num,card pan,kortnummer,nr karty",
        ),
        "cvv": (
            6.0,
            "cvv,cvc,cvv2,cvc2,cvv code,cvc code,card security code,card pin,card verification,pruefziffer karte",
        ),
        "password": (
            6.5,
            "password,passwd,pwd,passwort,kennwort,mot de passe,motdepasse,contrasena,clave acceso,senha,wachtwoord,haslo,"
            "losenord,salasana,passphrase,password hash,passwordhash,pass hash,pw hash,pwhash,hashed password,"
            "encrypted password,password digest,crypted password,passwd hash,security answer,pin code,pin hash,"
            "passcode,parola,sifre,secret answer,mdp,user pass,userpass,password encrypted",
        ),
        "password/2": (3.5, "pass,pw,pin,salt,clave,hash pw"),
        "token": (
            6.0,
            "token,tokens,api key,apikey,api token,access token,refresh token,auth token,session token,secret,secret key,"
            "client secret,private key,privatekey,encryption key,signing key,jwt,bearer,otp secret,totp secret,totp,"
            "recovery code,recovery codes,backup code,backup codes,credentials,connection string,conn string,session key,"
            "session data,webhook secret,access key,secret access key,aws secret,oauth token,id token,shared secret,"
            "reset token,remember token,activation key,verification code,mfa secret,two factor secret,jeton,"
            "schluessel geheim,license secret,hmac key,ssh key,pem,database url,dsn,reset code,device token,push token",
        ),
        "token/2": (3.0, "credential,session id,sessionid,sid,api secret,cookie"),
        "text/2": (
            1.5,
            "notes,note,comment,comments,remarks,bemerkung,bemerkungen,body,message,description,free text,content,payload,details,notizen,memo,transcript",
        ),
    }
)
"""What a column is called."""

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
    grade band range budget bucket group source label labels url link path file size width height color brand network
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
