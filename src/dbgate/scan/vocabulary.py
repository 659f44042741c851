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
            "postcode,postal code,zip code,zip,post code,plz,postleitzahl,code postal,codigo postal,cep,postnummer,zipcode,kod pocztowy",
        ),
        "birth": (
            6.5,
            "birth date,birth,date of birth,birthdate,dob,birthday,born on,born,birth day,geburtsdatum,geb datum,gebdat,"
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
            "taxpayer id,nino,ni number,national insurance,nhs number,nhs no,steuer id,steuer identifikation,"
            "steuer idnr,steuernummer,idnr,sozialversicherungsnummer,sv nummer,svnr,ahv nummer,ahvnr,dni,nie,nif,"
            "codice fiscale,cod fiscale,codfisc,numero secu,numero securite sociale,securite sociale,insee,bsn,"
            "burgerservicenummer,rijksregisternummer,pesel,personnummer,personal id,personal code,"
            "fodselsnummer,cpr,cpr nummer,cpr number,hetu,henkilotunnus,cpf,aadhaar,aadhar,pan number,curp,"
            "cedula,egn,rodne cislo,isikukood,asmens kodas,oib,emso,jmbg,amka,tckn,tc kimlik,kimlik no,"
            "teudat zehut,sin number,social insurance,tfn,ird number,rrn,resident registration,resident id,id card,"
            "identity card,identity number,citizen id,citizen number,my number,nric,documento identidad,government id,"
            "govt id,pps number,ppsn,medicare number,insurance number,versichertennummer,krankenversicherungsnummer,"
            "kvnr,egk,nummer personalausweis,personalausweis,personalausweisnummer,ausweisnummer,carte vitale",
        ),
        "national/2": (
            3.5,
            "sin,nss,nis,ird,pps,nhs,ahv,tc no,rg,tin,rut,run,nir,rfc,cnp,sv,nin,idno,nid,fodsels number,person number,ident number",
        ),
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
            "religion,konfession,ethnicity,ethnic group,sexual orientation,trade union,union member,"
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
        "email/3": (
            6.0,
            "email id,email contact,contact email,electronic mail,electronic address,mail addr,mejl,mejladress,e mailadress,"
            "adres email,adres e mail,adresa email,emailcim,eposta adresi,indirizzo email,indirizzo mail,endereco email,"
            "direccion correo,correo e,e correo,mail perso,mail pro,kontaktmail,recovery email,primary email,smtp address,"
            "reply to,paypal email,from address,to address,cc address",
        ),
        "phone/3": (
            5.5,
            "number tel,number telefon,number telefonu,number telefono,number telephone,number mobile,number handy,telefonnumber,"
            "tel mobile,tel fixe,tel domicile,tel bureau,tel prive,tel privat,tel dienst,tel work,tel home,home tel,work tel,"
            "daytime phone,evening phone,emergency phone,fax no,komorka,numer komorki,telemovel,telephone portable,"
            "tlf movil,contacto telefonico,telefon prive,puh,gsm no,cep telefonu,sms number,whats app,caller,callee,"
            "caller id,calling number,called number,dialed number,mobiel,mobilni,mobiltel,festnetz",
        ),
        "person/3": (
            5.5,
            "name on card,name on account,contact person,kontaktperson,signed by name,personal name,preferred name,nick name,"
            "known as,nome e cognome,nombre y apellidos,segundo apellido,nombres,nom usage,nom naissance,nom jeune fille,"
            "nom client,nom complet,titulaire,titular,intestatario,rekeninghouder,houder,posiadacz,imie i nazwisko,"
            "nazwisko rodowe,nome social,nome mae,nome pai,nombre titular,nombre cliente,client name,guestname,passenger name,"
            "attendee name,attention name,buyer name,seller name,payer name,payee name,debtor name,creditor name,"
            "witness name,doctor name,physician name,teacher name,driver name,tenant name,landlord name,lessee name,"
            "agent name,sender name,receiver name,relative name,child name,partner name,reporter name,heir name,"
            "rufname,geburts name,ledigname,vor und nachname,vollname,krstne,priezvisko,keresztnev,vezeteknev,onoma,eponymo,"
            "etternavn,mellomnavn,fullt navn,fuldt navn,navn full,fullstandigt namn,koko nimi,ad,familyname,roepnaam,tussenvoegsel",
        ),
        "person/4": (
            3.0,
            "attention,attn,payee,payer,sender,recipient,rider,guest,passenger,patient,customer,employee,witness,owner,debtor,insured,candidate,applicant,tenant,titulo nombre,huisarts,hausarzt,doctor,physician,nurse,teacher,caregiver,guardian,spouse,kontakt",
        ),
        "address/3": (
            5.5,
            "address street,street number,street no,address full,full address,private address,legal address,work address,"
            "current address,previous address,ship to address,bill to address,adresse domicile,adresse facturation,adresse livraison,"
            "adresse complete,number maison,number civico,numero civico,number casa,domicilio fiscal,direccion fiscal,"
            "direccion envio,via e numero,indirizzo residenza,indirizzo domicilio,endereco residencial,endereco cobranca,bairro,"
            "complemento,morada,woonadres,postadres,bezoekadres,adres zamieszkania,adres zameldowania,number domu,hjemmeadresse,"
            "bostadsadress,katuosoite,lahiosoite,hausanschrift,rechnungsanschrift,lieferanschrift,wohnort strasse,adresszeile,"
            "adresse 1,adresse 2,anschrift 1,str hausnummer,str und number,po box,postfach,acik adres,voie,number voie,adr",
        ),
        "postcode/2": (
            4.5,
            "post number,postal number,kodepocztowy,kod,c p,codepostal,codigopostal,psc,iranyitoszam,postinumero,postkod,posta kodu,postkode,post index,pin code area",
        ),
        "postcode/3": (2.5, "cap,cp,zip 4,kp"),
        "birth/2": (
            6.0,
            "data nasc,dt nascimento,dta nascita,dat naiss,datenaiss,naiss,date naiss,geb,geb am,gebtag,gebjahr,geburtsjahr,annee naissance,ano nacimiento,"
            "ano nascimento,anno nascita,rok urodzenia,data ur,urodzony,fodd,fodt,fodelsear,fodselsar,foedselsdag,fodselsdag,syntynyt,"
            "datum narozeni,datum rodenja,szuletesi datum,birth place city,lugar nacimiento,lieu naissance,luogo nascita,bdate,"
            "birth ts,birth month,birthyr,date of b,d o b,nac,nasc,geboren,geboortejaar,geb dat",
        ),
        "pay/3": (
            5.5,
            "taux horaire,stundensatz,stundenlohn,uurloon,timlon,tarifa hora,paga oraria,valor hora,monatslohn,monthly salary,annual salary,"
            "base salary,current salary,starting salary,basic pay,overtime pay,bonus amount,praemie,pramie,prime,13e mois,payroll amount,"
            "salario base,salario neto,salario mensal,salario anual,salario liquido,remuneracao,vencimento,paga,paga mensile,"
            "lordo,netto salaris,bruto salaris,bruto loon,maandsalaris,pensja,placa,stawka godzinowa,arslon,manadslon,arslonn,"
            "lonn,aarsloen,vuosipalkka,kuukausipalkka,fizetes,plat mesicni,revenu,revenu annuel,jahreseinkommen,zulage,abfindung,"
            "household income,gross income,net income monthly,earnings,ctc,equity grant,salarie brut,salaire net,rente",
        ),
        "account/2": (
            5.0,
            "number konta bankowego,number bancario,cuenta,cuenta corriente,number conto,compte,compte number,code banque,code guichet,"
            "konto,number konto,kontoverbindung,girokonto,bank details,bank number,bankkonto,bankgiro,plusgiro,tilinumero,tilinumber,"
            "konta number,banka hesap,conta,agencia conta,number conta,beneficiary account,debtor account,creditor account,"
            "payout account,account iban,bank acct number,ach account,checking account,savings account,wire account,rachunek",
        ),
        "card/2": (
            5.0,
            "number card,number karty,number kreditkarte,pan number card,card digits,card full number,plastic number,cardnr,carta credito,numero de tarjeta,tarjeta number,cb number,karta,credit number,card",
        ),
        "location/2": (
            3.0,
            "position,coord,coords,location point,gps position,geo position,gps coords,wgs84,home location,posicion,ubicacion,standort,geocode,geom point,x lat,y lon,last known position,latlng,latlong,long",
        ),
        "password/3": (
            5.5,
            "passkey,pass phrase,login password,user password,adgangskode,passord,heslo,jelszo,lozinka,parole,mot passe,palavra passe,contrasenia,clave hash,hash password,hash contrasena,passwort hash,kennwort hash,password salt,security pin,pin number,pwd hash,crypt,encrypted pass,shadow,unlock code,secret word",
        ),
        "token/3": (
            5.5,
            "runner token,bot token,deploy key,webhook url secret,service account key,service key,consumer secret,app secret,api credential,auth key,auth secret,authorization,authorization header,bearer token,csrf secret,magic link,one time code,otp,otp code,seed phrase,mnemonic,wallet key,pgp key,gpg key,tls key,ssl key,private pem,license key,product key,client key,secret value,secrets,cle secrete,cle api,chiave segreta,clave secreta,chave api,schluessel,geheimnis,sas token,connectionstring,jdbc url",
        ),
        "ip/2": (
            5.5,
            "ip v 4,ip v 6,user ip,origin ip,visitor ip,host ip,server ip,device ip,ip from,from ip,x forwarded for,forwarded for,peer ip,ip hash source,ipaddr,created ip,registration ip,signup ip,request ip",
        ),
        "device/2": (
            5.0,
            "mac adresse,adresse mac,wlan mac,eth address,device mac,ble address,handset id,udid,android id,vendor id device,aaid,idfv,msid,number imei,sim number",
        ),
        "document/2": (
            5.0,
            "paszport,number paszportu,pas number,paspoortnummer,paspoort,pass number,passi number,pasaporte number,documento viaje,travel document,driving permit,driver permit,prawo jazdy,korkort,rijbewijs number,number permis,voter id,voter number,visa no,residence permit,aufenthaltstitel,titre sejour,id document number,document number id,insurance id,insurance policy holder,member number health,kfz,matricula coche,targa,immatriculation,patient id number,chart number,health card",
        ),
        "health/2": (
            5.0,
            "diagnosis text,diagnostic,diagnosi,rozpoznanie,sairaus,krankheiten,vorerkrankung,medikation,medikamente,medicament,traitement,allergie,allergien,allergene,schwangerschaft,pregnant,pregnancy,handicap,invalidite,grado discapacidad,disability status,glaube,religious,confession,orientation sexuelle,etnia,ethnie,raza,lab result,test result hiv,dna,genome,biometrics,face template,voiceprint,retina,symptom,chronic,therapy,impfung,vaccine",
        ),
    }
)
"""What a column is called."""
